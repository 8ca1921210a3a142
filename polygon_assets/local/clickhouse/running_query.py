"""A query that runs in a thread of its own and writes its answer into a pipe.

Only the life of the thread and of the pipe belongs here; what the query is belongs to `execution`.
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

from polygon_assets.local.clickhouse.errors import ClickHouseError

_PIPE_BYTES = 1024 * 1024  # the most that Linux gives an ordinary user
_LOOK_AT_CLIENT_MS = 1000
_IDLE_MS = 100
_CANCEL_AGAIN_SECONDS = 0.2


class ClientGoneError(Exception):
    """The client closed its connection while its query was still computing."""


class RunningQuery:
    """Bytes as the engine produces them, and the engine's own result afterwards.

    The engine writes through a pipe instead of handing over chDB's streams: every format can be
    read while it grows, nothing is left open that would abort the engine when its connection is
    closed, and a client can be watched while the engine computes.
    """

    def __init__(self, produce: Callable[[int], Any], client_is_gone: Callable[[], bool]) -> None:
        """`produce` gets the descriptor to write to; it must not close it."""
        self._reader, writer = os.pipe()
        with suppress(OSError, AttributeError):
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._ready = select.poll()
        self._ready.register(self._reader, select.POLLIN)
        self._client_is_gone = client_is_gone
        self._executor = ThreadPoolExecutor(1, "query")
        self._future = self._executor.submit(_produce, produce, writer)

    def chunks(self) -> Iterator[bytes]:
        """Raises ClickHouseError where the query failed, ClientGoneError when nobody waits for it any more."""
        while True:
            while not self._ready.poll(_LOOK_AT_CLIENT_MS):
                if self._client_is_gone():
                    raise ClientGoneError
            data = os.read(self._reader, _PIPE_BYTES)
            if not data:
                break
            yield data
        self._future.result()

    def result_if_done(self) -> Any:
        """What `produce` returned; None while it runs, and when it failed."""
        over = self._future.done() and not self._future.exception()
        return self._future.result() if over else None

    def close(self, cancel: Callable[[], None]) -> None:
        """Return when the engine has let go of the query; one that still runs is cancelled.

        The pipe is emptied rather than closed meanwhile: the engine would wait for ever to open a
        pipe that nobody reads, and computes on to its end when it cannot write.
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
    """The path by which this process opens one of its own descriptors again."""
    return (
        f"/proc/self/fd/{descriptor}"
        if sys.platform.startswith("linux")
        else f"/dev/fd/{descriptor}"
    )


@contextmanager
def run(
    produce: Callable[[int], Any], client_is_gone: Callable[[], bool], cancel: Callable[[], None]
) -> Iterator[RunningQuery]:
    """The query runs inside the block and is over at its end, however the block is left."""
    query = RunningQuery(produce, client_is_gone)
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
