"""A code location whose stream programs are small fakes: they say that they started, and that they drained.

FAKE_PROGRAM_NOTES names the folder they write to.
"""

import os
import sys

from polygon_assets.definitions import build_defs
from polygon_assets.defs.graph.resources import StreamPrograms

FAKE_PROGRAM = """
import os, pathlib, signal, sys, time
notes = pathlib.Path(sys.argv[1])
def stop(*_):
    time.sleep(0.2)
    (notes / f"{os.getpid()}.drained").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(f"the fake {sys.argv[2]} speaks", flush=True)
(notes / f"{os.getpid()}.started").touch()
while True: time.sleep(0.1)
"""

defs = build_defs(
    resource_overrides={
        "programs": StreamPrograms(
            command=[sys.executable, "-c", FAKE_PROGRAM, os.environ["FAKE_PROGRAM_NOTES"]]
        )
    }
)
