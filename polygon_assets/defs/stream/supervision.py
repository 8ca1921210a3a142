"""Keeping one stream program running: start it, watch its heartbeats, start it again.

Add a reason to restart or to give up here; who runs the program belongs to `runner`, what a
heartbeat means for the assets to `heartbeat_events`, and when a session is over to `decisions`. A
run that has died itself is launched again by the sensor `stream_supervisor`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from polygon_assets.defs.stream.runner import Copy, Ending, Runner
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.inspection.copies import as_one
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

    def newest(self, process: str) -> Heartbeat | None:
        """The newest heartbeat of the process, as `messages.process_of` names it."""

    def silent_seconds(self, process: str, since: float) -> float:
        """Seconds without a heartbeat of the process; `since` is its start, monotonic."""


class Reporter(Protocol):
    """Receives what a supervision observes."""

    def observe(self, heartbeat: Heartbeat | None, restarts: int) -> None:
        """Called several times a second with the newest heartbeat, of all copies as one."""

    def log(self, message: str) -> None:
        """Called when the program was started, has ended, or will be started again."""


@dataclass(frozen=True)
class _Loss:
    """A copy that ended, or was ended because it hung."""

    copy: Copy
    because: str
    refusal: str = ""


@dataclass
class Supervision:
    """One program under supervision; `run` must be called in the main thread."""

    runner: Runner
    heartbeats: HeartbeatSource
    reporter: Reporter
    is_finished: Callable[[Sequence[Heartbeat]], bool]
    """Whether the program is to end, by the newest heartbeat of each copy that runs: the session is
    over, or a person stops it."""
    limits: Limits
    is_left: Callable[[], bool] = lambda: False
    """Whether the run must end although the program is still needed."""
    restarts: int = 0

    def run(self) -> None:
        """Keep the program running until it is finished, then stop it.

        Raises ProgramRefusedError, ProgramNotDrainedError and ProgramKeepsFailingError. However
        this call ends, the program has ended before it, unless it can go on without the run.
        """
        try:
            self._run()
        except (ProgramRefusedError, ProgramKeepsFailingError):
            self._log_all(self.runner.stop(self.limits.grace_seconds))
            raise
        finally:
            self._log_all(self.runner.leave(self.limits.grace_seconds))

    def _run(self) -> None:
        failures = 0
        while True:
            self.runner.ensure()
            loss = self._watch()
            if loss is None:
                return
            was_healthy = loss.copy.ran_seconds >= self.limits.healthy_seconds
            failures = 1 if was_healthy else failures + 1
            if not self._has_healthy_copy():
                self._give_up_if_hopeless(loss, failures)
            self.restarts += 1
            if self._is_over_within(self._pause(loss, failures)):
                return

    def _watch(self) -> _Loss | None:
        """Wait until a copy is lost; None when the run is over."""
        while True:
            if endings := self.runner.endings():
                self._log_all(endings)
                return _Loss(endings[-1].copy, str(endings[-1]), self._refusal(endings))
            heartbeats = self._newest_heartbeats()
            self.reporter.observe(as_one(heartbeats), self.restarts)
            if self._is_over(heartbeats):
                return None
            for copy in self.runner.copies():
                if silence := self._silence(copy):
                    because = f"{copy.name} sent no heartbeat for {silence:.0f} s"
                    self._log_all(self.runner.end(copy, because, self.limits.grace_seconds))
                    return _Loss(copy, because)
            time.sleep(self.limits.poll_seconds)

    def _has_healthy_copy(self) -> bool:
        """Whether another copy streams: it goes on, as when a new version refuses to start."""
        ran_seconds = [copy.ran_seconds for copy in self.runner.copies()]
        return max(ran_seconds, default=0.0) >= self.limits.healthy_seconds

    def _give_up_if_hopeless(self, loss: _Loss, failures: int) -> None:
        if loss.refusal:
            raise ProgramRefusedError(loss.refusal)
        if failures >= self.limits.max_failures:
            raise ProgramKeepsFailingError(f"{loss.because}; {failures} times in a row")

    def _pause(self, loss: _Loss, failures: int) -> float:
        """The seconds until the next start; none where the copy is replaced by itself."""
        if self.runner.outlives_run:
            self.reporter.log(f"{loss.refusal or loss.because}; it is replaced")
            return 0.0
        pause = self.limits.pauses[min(failures, len(self.limits.pauses)) - 1]
        self.reporter.log(f"{loss.because}; starting again in {pause:g} s")
        return pause

    def _is_over(self, heartbeats: Sequence[Heartbeat]) -> bool:
        """Whether the run is over; then the program is stopped, or left to itself."""
        if not self.is_finished(heartbeats):
            return self.is_left()
        endings = self.runner.stop(self.limits.grace_seconds)
        self._log_all(endings)
        for ending in endings:
            if not ending.was_drained:
                message = f"{SESSION_OVER}, but {ending}.{self._last_detail(ending)}"
                raise ProgramNotDrainedError(message)
        return True

    def _refusal(self, endings: Sequence[Ending]) -> str:
        """Why another start would end the same way; empty if it might not."""
        for ending in endings:
            if ending.exit_code in REFUSALS:
                cure = f"{REFUSALS[ending.exit_code]} (exit code {ending.exit_code})"
                return f"{cure}.{self._last_detail(ending)}"
        return ""

    def _newest_heartbeats(self) -> Sequence[Heartbeat]:
        """One of each copy; a copy that has sent none yet has no partition either."""
        beats = map(self.heartbeats.newest, [copy.process for copy in self.runner.copies()])
        return list(filter(None, beats))

    def _last_detail(self, ending: Ending) -> str:
        heartbeat = self.heartbeats.newest(ending.copy.process)
        return f" Its last detail: {heartbeat.detail}" if heartbeat and heartbeat.detail else ""

    def _silence(self, copy: Copy) -> float:
        """Seconds without a heartbeat, once there are too many; otherwise 0."""
        has_begun = self.heartbeats.newest(copy.process) is not None
        allowed = self.limits.silence_seconds if has_begun else self.limits.first_beat_seconds
        silence = self.heartbeats.silent_seconds(copy.process, copy.since)
        return silence if silence > allowed else 0.0

    def _is_over_within(self, seconds: float) -> bool:
        """Wait; whether the run is over meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._is_over(()):
                return True
            self.reporter.observe(None, self.restarts)
            time.sleep(min(self.limits.poll_seconds, seconds))
        return False

    def _log_all(self, endings: Sequence[Ending]) -> None:
        for ending in endings:
            self.reporter.log(str(ending))
