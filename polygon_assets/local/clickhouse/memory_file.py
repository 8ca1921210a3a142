"""Bytes as a file that the engine opens by path and that disappears even after SIGKILL.

Add ways to hand bytes to the engine here; their content belongs to `execution`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import NamedTemporaryFile


@contextmanager
def file_holding(data: bytes) -> Iterator[str]:
    """The path of a file with `data`, valid in this process and this block; in memory on Linux."""
    if sys.platform.startswith("linux"):
        with os.fdopen(os.memfd_create("insert"), "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with NamedTemporaryFile() as named:
            named.write(data)
            named.flush()
            yield named.name
