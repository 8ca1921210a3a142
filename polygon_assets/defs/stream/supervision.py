"""Keeping one stream program running: start it, hear its heartbeats, start it again, and never leave it behind.

What a heartbeat means for the assets is `reporting`'s business, when a session is over is `decisions`'; nothing here knows a topic.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Protocol, Self

from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import follow_heartbeats
from polygon_assets.messages import Heartbeat
from polygon_assets.settings import Settings

PR_SET_PDEATHSIG = 1
RECONNECT_SECONDS = 2.0
REFUSALS = {
    10: "the vendor refused the key: check POLYGON_API_KEY",
    11: "the account's plan does not include this real-time data: upgrade it, or point POLYGON_WEBSOCKET_URL at the delayed cluster",
    12: "its settings cannot be used: `polygon-assets doctor` names them",
    14: "the vendor gave an unknown answer to the key: check the key and the account's plan",
}
"""Exit codes of `streaming.program` after which another start would end the same way; a test ties the two, an import must not."""
SESSION_OVER = "the session is over"


class ProgramRefusedError(Exception):
    """The program ended for a reason that only a person can cure; the message says which."""


class ProgramNotDrainedError(Exception):
    """The session is over, but the program did not end well when it was asked to: something it had accepted may be missing."""


class ProgramKeepsFailingError(Exception):
    """The program ended too often without a healthy minute in between."""


@dataclass(frozen=True)
class Limits:
    """How patient the supervision is."""

    grace_seconds: float
    """From SIGTERM to SIGKILL: longer than the program may take to hand on what it accepted."""
    silence_seconds: float = 30.0
    first_beat_seconds: float = 60.0
    """Imports and the first connection take several seconds on a busy machine."""
    healthy_seconds: float = 60.0
    pauses: Sequence[float] = (1, 2, 4, 8, 16)
    max_failures: int = 8
    look_seconds: float = 0.5


class HeartbeatSource(Protocol):
    """Where heartbeats come from."""

    def newest(self, pid: int) -> Heartbeat | None:
        """The newest heartbeat of the process."""

    def silent_seconds(self, pid: int, since: float) -> float:
        """How long nothing was heard of the process although it could have been; `since` is its start, monotonic."""


class Reporter(Protocol):
    """Receives what a supervision observes."""

    def observe(self, heartbeat: Heartbeat | None, restarts: int) -> None:
        """Called several times a second with the newest heartbeat."""

    def say(self, text: str) -> None:
        """Something happened."""


class Child:
    """A program in a session of its own that dies with the thread that started it."""

    def __init__(self, command: Sequence[str]) -> None:
        die_with, parent = _death_signal(), os.getpid()
        self.started = time.monotonic()
        # stdout and stderr are the run's own: the lines stand in its compute log, and no pipe can break under the program.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: die_with(parent),  # noqa: PLW1509  # one system call; without it a kill -9 here leaves an orphan
        )
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        """Negative for a signal; None while it runs."""
        return self._process.poll()

    def stop(self, grace_seconds: float) -> int:
        """SIGTERM, and SIGKILL to what is left of its process group after the grace, even if the wait is interrupted."""
        try:
            self._signal(signal.SIGTERM)
            return self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return


class Listener:
    """Heartbeats of one program, read from Kafka in a thread, so that a slow broker never delays the supervision."""

    def __init__(self, settings: Settings, program: str) -> None:
        self._settings = settings
        self._program = program
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._listen, name=f"heartbeats-{program}", daemon=True
        )
        self._newest: Heartbeat | None = None
        self._heard = 0.0
        self._listening_since: float | None = None
        self.fault = ""
        """Why nothing can be heard, if so."""

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
        self._thread.join(5.0)

    def newest(self, pid: int) -> Heartbeat | None:
        return self._newest if self._newest and _pid_of(self._newest) == pid else None

    def silent_seconds(self, pid: int, since: float) -> float:
        """While the broker is away nobody is silent, and after its return everybody has the whole time again."""
        if self._listening_since is None:
            return 0.0
        heard = self._heard if self.newest(pid) else 0.0
        return time.monotonic() - max(since, heard, self._listening_since)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except KafkaUnreachableError as error:
                self._listening_since, self.fault = None, str(error)
                self._stop.wait(RECONNECT_SECONDS)

    def _follow(self) -> None:
        for beat in follow_heartbeats(self._settings, self._stop):
            if self._listening_since is None:
                self._listening_since, self.fault = time.monotonic(), ""
            if beat and beat.program == self._program:
                self._newest, self._heard = beat, time.monotonic()


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

        Raises ProgramRefusedError, ProgramNotDrainedError and ProgramKeepsFailingError; whatever ends this call, the program has
        ended before it.
        """
        failures = 0
        while True:
            began = time.monotonic()
            ended_because = self._live()
            if ended_because is None:
                return
            failures = (
                1 if time.monotonic() - began >= self.limits.healthy_seconds else failures + 1
            )
            if failures >= self.limits.max_failures:
                raise ProgramKeepsFailingError(f"{ended_because}; {failures} times in a row")
            pause = self.limits.pauses[min(failures, len(self.limits.pauses)) - 1]
            self.restarts += 1
            self.reporter.say(f"{ended_because}; starting again in {pause:g} s")
            if self._finished_within(pause):
                return

    def _live(self) -> str | None:
        """One life of the program: why it ended, or None when it was time."""
        child = Child(self.command)
        self.reporter.say(f"started as process {child.pid}")
        try:
            stopped_because = self._watch(child)
        finally:
            code = child.stop(self.limits.grace_seconds)
            self.reporter.say(f"process {child.pid} {_ending(code)}")
        if stopped_because == SESSION_OVER:
            # One that SIGTERM kills had not yet set its handler, which it does before it accepts anything.
            if code not in (0, -signal.SIGTERM):
                raise ProgramNotDrainedError(
                    f"{SESSION_OVER}, but process {child.pid} {_ending(code)}.{self._last_words(child)}"
                )
            return None
        if not stopped_because and code in REFUSALS:
            raise ProgramRefusedError(
                f"{REFUSALS[code]} (exit code {code}).{self._last_words(child)}"
            )
        return stopped_because or f"process {child.pid} {_ending(code)}"

    def _watch(self, child: Child) -> str:
        """Wait for a reason to stop the program; empty when it ended by itself."""
        while child.exit_code() is None:
            heartbeat = self.heartbeats.newest(child.pid)
            self.reporter.observe(heartbeat, self.restarts)
            if self.is_finished(heartbeat):
                return SESSION_OVER
            if silence := self._silence(child, heartbeat):
                return f"process {child.pid} sent no heartbeat for {silence:.0f} s"
            time.sleep(self.limits.look_seconds)
        return ""

    def _last_words(self, child: Child) -> str:
        heartbeat = self.heartbeats.newest(child.pid)
        return f" Its last detail: {heartbeat.detail}" if heartbeat and heartbeat.detail else ""

    def _silence(self, child: Child, heartbeat: Heartbeat | None) -> float:
        """For how long nothing was heard, once that is too long."""
        allowed = self.limits.silence_seconds if heartbeat else self.limits.first_beat_seconds
        silence = self.heartbeats.silent_seconds(child.pid, child.started)
        return silence if silence > allowed else 0.0

    def _finished_within(self, seconds: float) -> bool:
        """Wait, and say whether the session ended meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.is_finished(None):
                return True
            self.reporter.observe(None, self.restarts)
            time.sleep(min(self.limits.look_seconds, seconds))
        return False


class Interruption:
    """Notes SIGINT and SIGTERM while it is entered, and passes the first one on when it is left. For the main thread.

    Raised where it happens to come, an exception is lost in a finalizer, and cuts the draining short while the program is being
    stopped: a dying parent and the dying code server each send a signal.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._number: int | None = None

    @property
    def came(self) -> bool:
        return self._number is not None

    def __enter__(self) -> Self:
        self._handlers = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._number is not None:
            signal.raise_signal(self._number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._number = self._number or number


def die_with_parent() -> None:
    """Let this process get SIGTERM when the one that started it ends, however it ends."""
    _death_signal()(os.getppid())


def _ending(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _pid_of(heartbeat: Heartbeat) -> int:
    return int(heartbeat.instance.split(":")[-2])


def _death_signal() -> Callable[[int], None]:
    """What a process calls to die with `parent`; everything is loaded beforehand, because a forked child must not load anything."""
    if sys.platform != "linux":
        return lambda _parent: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def die_with(parent: int) -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        # The parent may have ended just before the call, and then no signal would ever come.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return die_with
