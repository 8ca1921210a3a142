"""Keeping one stream program running: start it, watch its heartbeats, start it again.

Add a reason to restart or to give up here; what a heartbeat means for the assets belongs to
`heartbeat_events`, and when a session is over to `decisions`.
"""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from polygon_assets.defs.stream.program_process import ProgramProcess, ending
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.messages import Heartbeat

REFUSALS = {
    10: "the vendor refused the key: check POLYGON_API_KEY",
    11: "the account's plan does not include this real-time data: upgrade it, "
    "or point POLYGON_WEBSOCKET_URL at the delayed cluster",
    12: "its settings cannot be used: `polygon-assets doctor` names them",
    14: "the vendor gave an unknown answer to the key: check the key and the account's plan",
}
"""Exit codes of `streaming.program` after which another start would end the same way.

They stand here again because the graph does not import the programs; a test ties the two.
"""
SESSION_OVER = "the session is over"


class ProgramRefusedError(PolygonAssetsError):
    """The program ended for a reason that only a person can cure; the message names it."""


class ProgramNotDrainedError(PolygonAssetsError):
    """The program did not end well after the session: something it accepted may be missing."""


class ProgramKeepsFailingError(PolygonAssetsError):
    """The program ended too often without a healthy minute in between."""


@dataclass(frozen=True)
class Limits:
    """How long and how often the supervision waits."""

    grace_seconds: float
    """From SIGTERM to SIGKILL: longer than the program may take to deliver what it accepted."""
    silence_seconds: float = 30.0
    first_beat_seconds: float = 60.0
    """Imports and the first connection take several seconds on a busy machine."""
    healthy_seconds: float = 60.0
    pauses: Sequence[float] = (1, 2, 4, 8, 16)
    max_failures: int = 8
    poll_seconds: float = 0.5


class HeartbeatSource(Protocol):
    """Where heartbeats come from."""

    def newest(self, pid: int) -> Heartbeat | None:
        """The newest heartbeat of the process."""

    def silent_seconds(self, pid: int, since: float) -> float:
        """Seconds without a heartbeat of the process; `since` is its start, monotonic."""


class Reporter(Protocol):
    """Receives what a supervision observes."""

    def observe(self, heartbeat: Heartbeat | None, restarts: int) -> None:
        """Called several times a second with the newest heartbeat."""

    def log(self, message: str) -> None:
        """Called when the program was started, has ended, or will be started again."""


@dataclass
class Supervision:
    """One program under supervision; `run` must be called in the main thread."""

    command: Sequence[str]
    heartbeats: HeartbeatSource
    reporter: Reporter
    is_finished: Callable[[Heartbeat | None], bool]
    """Whether the session is over for this program."""
    limits: Limits
    restarts: int = 0

    def run(self) -> None:
        """Keep the program running until it is finished, then stop it.

        Raises ProgramRefusedError, ProgramNotDrainedError and ProgramKeepsFailingError. However
        this call ends, the program has ended before it.
        """
        failures = 0
        while True:
            began = time.monotonic()
            ended_because = self._run_once()
            if ended_because is None:
                return
            was_healthy = time.monotonic() - began >= self.limits.healthy_seconds
            failures = 1 if was_healthy else failures + 1
            if failures >= self.limits.max_failures:
                raise ProgramKeepsFailingError(f"{ended_because}; {failures} times in a row")
            pause = self.limits.pauses[min(failures, len(self.limits.pauses)) - 1]
            self.restarts += 1
            self.reporter.log(f"{ended_because}; starting again in {pause:g} s")
            if self._finished_within(pause):
                return

    def _run_once(self) -> str | None:
        """Run the program from its start to its end; why it ended, or None when it was finished."""
        process = ProgramProcess(self.command)
        self.reporter.log(f"started as process {process.pid}")
        try:
            stopped_because = self._watch(process)
        finally:
            code = process.stop(self.limits.grace_seconds)
            self.reporter.log(f"process {process.pid} {ending(code)}")
        ended = f"process {process.pid} {ending(code)}"
        if stopped_because == SESSION_OVER:
            # Killed by SIGTERM means: it had not yet set its handler, so it had accepted nothing.
            if code not in (0, -signal.SIGTERM):
                message = f"{SESSION_OVER}, but {ended}.{self._last_detail(process)}"
                raise ProgramNotDrainedError(message)
            return None
        if not stopped_because and code in REFUSALS:
            message = f"{REFUSALS[code]} (exit code {code}).{self._last_detail(process)}"
            raise ProgramRefusedError(message)
        return stopped_because or ended

    def _watch(self, process: ProgramProcess) -> str:
        """Wait for a reason to stop the program; empty when it ended by itself."""
        while process.exit_code() is None:
            heartbeat = self.heartbeats.newest(process.pid)
            self.reporter.observe(heartbeat, self.restarts)
            if self.is_finished(heartbeat):
                return SESSION_OVER
            if silence := self._silence(process, heartbeat):
                return f"process {process.pid} sent no heartbeat for {silence:.0f} s"
            time.sleep(self.limits.poll_seconds)
        return ""

    def _last_detail(self, process: ProgramProcess) -> str:
        heartbeat = self.heartbeats.newest(process.pid)
        return f" Its last detail: {heartbeat.detail}" if heartbeat and heartbeat.detail else ""

    def _silence(self, process: ProgramProcess, heartbeat: Heartbeat | None) -> float:
        """Seconds without a heartbeat, once there are too many; otherwise 0."""
        allowed = self.limits.silence_seconds if heartbeat else self.limits.first_beat_seconds
        silence = self.heartbeats.silent_seconds(process.pid, process.started)
        return silence if silence > allowed else 0.0

    def _finished_within(self, seconds: float) -> bool:
        """Wait; whether the session ended meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.is_finished(None):
                return True
            self.reporter.observe(None, self.restarts)
            time.sleep(min(self.limits.poll_seconds, seconds))
        return False
