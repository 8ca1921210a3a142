"""A query that runs in its own thread and writes its answer into a pipe.

Add the handling of the thread and of the pipe here; choosing the query belongs to `execution`.
"""

import fcntl
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.local.clickhouse.errors import ClickHouseError

_PIPE_BYTES = 1024 * 1024  # the most that Linux gives an ordinary user
_CHECK_CLIENT_MS = 1000
_IDLE_MS = 100
_CANCEL_AGAIN_SECONDS = 0.2


class ClientGoneError(PolygonAssetsError):
    """The client closed its connection while its query was still computing."""


class RunningQuery:
    """The bytes as the engine produces them, and afterwards the engine's own result.

    The engine writes into a pipe, because chDB's streams have three faults: they cannot be read in
    every format while they grow, a stream left open aborts the engine when its connection is
    closed, and the client cannot be watched while the engine computes.
    """

    def __init__(self, produce: Callable[[int], Any], client_is_gone: Callable[[], bool]) -> None:
        """`produce` gets the descriptor to write to; it must not close it."""
        self._produce = produce
        self._reader, self._writer = os.pipe()
        with suppress(OSError, AttributeError):
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._ready = select.poll()
        self._ready.register(self._reader, select.POLLIN)
        self._client_is_gone = client_is_gone
        self._executor = ThreadPoolExecutor(1, "query")

    def start(self) -> None:
        """Start the query; the methods below follow it."""
        self._future = self._executor.submit(_produce, self._produce, self._writer)

    def chunks(self) -> Iterator[bytes]:
        """The answer's bytes, with a check of the client once a second while the engine computes.

        Raises ClickHouseError when the query fails, ClientGoneError when the client has left.
        """
        while True:
            while not self._ready.poll(_CHECK_CLIENT_MS):
                if self._client_is_gone():
                    raise ClientGoneError
            data = os.read(self._reader, _PIPE_BYTES)
            if not data:
                break
            yield data
        self._future.result()

    def result_if_done(self) -> Any:
        """The result of `produce`; None while the query runs and after it failed."""
        succeeded = self._future.done() and not self._future.exception()
        return self._future.result() if succeeded else None

    def close(self, cancel: Callable[[], None]) -> None:
        """Cancel a query that still runs, and return when the engine has ended it.

        The pipe is drained meanwhile, not closed: the engine would wait for ever to open a pipe
        without a reader, and a failed write does not stop its computation.
        """
        while not self._future.done():
            with suppress(ClickHouseError):
                cancel()
            again_at = time.monotonic() + _CANCEL_AGAIN_SECONDS
            while (
                time.monotonic() < again_at
                and self._ready.poll(_IDLE_MS)
                and os.read(self._reader, _PIPE_BYTES)
            ):
                pass
        self._executor.shutdown()
        os.close(self._reader)


def path_of(descriptor: int) -> str:
    """The path under which this process can reopen one of its own descriptors."""
    return (
        f"/proc/self/fd/{descriptor}"
        if sys.platform.startswith("linux")
        else f"/dev/fd/{descriptor}"
    )


@contextmanager
def run(
    produce: Callable[[int], Any], client_is_gone: Callable[[], bool], cancel: Callable[[], None]
) -> Iterator[RunningQuery]:
    """Run a query inside the block; the query has ended whenever the block is left."""
    query = RunningQuery(produce, client_is_gone)
    query.start()
    try:
        yield query
    finally:
        query.close(cancel)


def _produce(produce: Callable[[int], Any], writer: int) -> Any:
    try:
        return produce(writer)
    except RuntimeError as error:
        raise ClickHouseError.from_engine(error) from error
    finally:
        os.close(writer)
