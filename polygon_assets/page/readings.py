"""One reader for all visitors: asks each question again and again, and keeps the newest answer.

Add what every source needs here; which sources there are belongs to `sources`.
"""

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from polygon_assets.errors import PolygonAssetsError

Asked = TypeVar("Asked")
Value = TypeVar("Value")
_log = logging.getLogger("page")
FAILURES = (PolygonAssetsError, OSError, ValueError)
"""Of a question or its connection; Arrow's errors are ValueErrors. One that ended the thread would
leave old numbers without a word."""
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
"""Seconds between attempts to reach a system that is away."""


@dataclass(frozen=True)
class Reading(Generic[Value]):
    """The newest answer of a source, and why there is no newer one."""

    value: Value | None = None
    at: dt.datetime | None = None
    """When it was answered (wall time)."""
    problem: str = ""

    def age(self, now: dt.datetime) -> float | None:
        """Seconds since the answer; None before the first."""
        return (now - self.at).total_seconds() if self.at else None


@dataclass(frozen=True, eq=False)
class Source(Generic[Asked, Value]):
    """A question that is asked every so many seconds."""

    name: str
    every_seconds: float
    ask: Callable[[Asked], Value]


@dataclass
class _Watched(Generic[Asked, Value]):
    source: Source[Asked, Value]
    reading: Reading[Value] = field(default_factory=Reading)
    due: float = 0.0
    """Monotonic seconds."""
    visitors: int = 1


class Reader(Generic[Asked]):
    """A thread that asks one system, over one connection.

    `connect` opens it and raises PolygonAssetsError when the system is away; so do questions.
    """

    def __init__(self, name: str, connect: Callable[[], AbstractContextManager[Asked]]) -> None:
        self._connect = connect
        self._watched: dict[Hashable, _Watched[Asked, object]] = {}
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopped = False
        self._asking: _Watched[Asked, object] | None = None
        """The question that is being asked, to know which one failed."""
        self._thread = threading.Thread(target=self._run, name=f"reads {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the question that it is asking."""
        self._stopped = True
        self._woken.set()
        self._thread.join()

    def watch(self, key: Hashable, source: Source[Asked, Value]) -> None:
        """Ask a question from now on; visitors who watch the same key share its answers."""
        with self._lock:
            if key in self._watched:
                self._watched[key].visitors += 1
            else:
                self._watched[key] = _Watched(source)  # type: ignore[arg-type]
        self._woken.set()

    def leave(self, key: Hashable) -> None:
        """Undo a `watch`; the last visitor's question is asked no more."""
        with self._lock:
            if key in self._watched:
                self._watched[key].visitors -= 1
                if self._watched[key].visitors <= 0:
                    del self._watched[key]

    def reading(self, key: Hashable) -> Reading[object]:
        """The newest answer; an empty one before the first."""
        watched = self._watched.get(key)
        return watched.reading if watched else Reading()

    def _run(self) -> None:
        pause = SHORTEST_PAUSE
        while not self._stopped:
            try:
                with self._connect() as asked:
                    self._ask_when_due(asked)
            except FAILURES as error:
                failed, self._asking = self._asking, None
                if failed:
                    # One question failed: the others go on at once, over a new connection.
                    self._fail([failed], str(error), LONGEST_PAUSE)
                else:
                    self._fail(self._all(), str(error), pause)
                    self._wait(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
            else:
                pause = SHORTEST_PAUSE

    def _ask_when_due(self, asked: Asked) -> None:
        while not self._stopped:
            now = time.monotonic()
            for watched in self._due(now):
                started, self._asking = time.monotonic(), watched
                value = watched.source.ask(asked)
                watched.reading = Reading(value, dt.datetime.now(dt.UTC))
                # A question that takes long is asked less often: half of the time stays free.
                taken = time.monotonic() - started
                watched.due = started + max(watched.source.every_seconds, 2 * taken)
            self._asking = None
            self._wait_until_due()

    def _due(self, now: float) -> list[_Watched[Asked, object]]:
        with self._lock:
            return [watched for watched in self._watched.values() if watched.due <= now]

    def _wait_until_due(self) -> None:
        with self._lock:
            due = min((watched.due for watched in self._watched.values()), default=0.0)
            nothing = not self._watched
        self._wait(LONGEST_PAUSE if nothing else max(0.0, due - time.monotonic()))

    def _wait(self, seconds: float) -> None:
        self._woken.wait(seconds)
        self._woken.clear()

    def _all(self) -> list[_Watched[Asked, object]]:
        with self._lock:
            return list(self._watched.values())

    def _fail(
        self, failed: list[_Watched[Asked, object]], problem: str, pause_seconds: float
    ) -> None:
        """Keep the last answers, and say why they grow old."""
        for watched in failed:
            watched.reading = replace(watched.reading, problem=problem)
            watched.due = time.monotonic() + pause_seconds
        _log.debug("%s", problem)
