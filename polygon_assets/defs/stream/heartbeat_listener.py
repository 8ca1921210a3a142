"""The heartbeats of one program, read from Kafka in a thread of the supervising run.

Add how heartbeats reach a supervision here; what they mean for it belongs to `supervision`.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import LONG_TAIL, TAIL, follow_heartbeats
from polygon_assets.messages import Heartbeat, process_of
from polygon_assets.settings import Settings

RECONNECT_SECONDS = 2.0
MOST_PROCESSES = 1_000
"""Processes whose newest heartbeat is kept: each start of a program anywhere adds one."""
STOP_SECONDS = 5.0
"""How long the end waits for the thread, which a broker that hangs may hold."""


class HeartbeatListener:
    """A HeartbeatSource that a slow broker never delays; entered, it listens."""

    def __init__(
        self, settings: Settings, program: str, record: Callable[[Heartbeat], None]
    ) -> None:
        """`record` gets each heartbeat of the program, also another process's; it may not wait."""
        self._settings = settings
        # A program that went on without a run was streaming: its heartbeats meanwhile prove it.
        self._tail = TAIL if settings.stream_runner == "process" else LONG_TAIL
        self._record = record
        self._program = program
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._listen, name=f"heartbeats-{program}", daemon=True
        )
        self._newest: dict[str, tuple[Heartbeat, float]] = {}
        """By process, as `messages.process_of` names it: the newest heartbeat, and when it came."""
        self._listening_since: float | None = None
        self.error = ""
        """Why no heartbeat can arrive; empty while Kafka answers."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(STOP_SECONDS)

    def newest(self, process: str) -> Heartbeat | None:
        """The newest heartbeat of this process."""
        beat, _ = self._newest.get(process, (None, 0.0))
        return beat

    def processes(self, within_seconds: float) -> list[str]:
        """The processes of which a heartbeat arrived in the last seconds."""
        oldest = time.monotonic() - within_seconds
        return [process for process, (_, came_at) in self._newest.items() if came_at >= oldest]

    def silent_seconds(self, process: str, since: float) -> float:
        """Seconds without a heartbeat of this process, counted only while Kafka answers.

        After an outage of Kafka the count starts again.
        """
        if self._listening_since is None:
            return 0.0
        _, newest_at = self._newest.get(process, (None, 0.0))
        return time.monotonic() - max(since, newest_at, self._listening_since)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except KafkaUnreachableError as error:
                self._listening_since, self.error = None, str(error)
                self._stop.wait(RECONNECT_SECONDS)

    def _follow(self) -> None:
        for beat in follow_heartbeats(self._settings, self._stop, self._tail):
            if self._listening_since is None:
                self._listening_since, self.error = time.monotonic(), ""
            if beat and beat.program == self._program:
                self._keep(beat)
                if not beat.is_standby:
                    self._record(beat)

    def _keep(self, beat: Heartbeat) -> None:
        """Make a heartbeat its process's newest, and forget the process that is silent longest.

        A reconnection reads the last heartbeats again: of a process that hangs, they are no sign.
        """
        process = process_of(beat)
        kept, _ = self._newest.get(process, (None, 0.0))
        if kept and kept.instance == beat.instance and beat.sent_at <= kept.sent_at:
            return
        newest = {name: pair for name, pair in self._newest.items() if name != process}
        if len(newest) >= MOST_PROCESSES:
            del newest[next(iter(newest))]
        # One assignment: another thread reads the mapping meanwhile.
        self._newest = {**newest, process: (beat, time.monotonic())}
