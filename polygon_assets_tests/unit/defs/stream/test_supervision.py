"""The supervision of real processes: small programs that crash, hang, refuse or obey.

Heartbeats come from a fake instead of Kafka.
"""

import datetime as dt
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from polygon_assets.defs.stream.decisions import LAST_EVENTS, is_finished
from polygon_assets.defs.stream.process_runner import ProcessRunner
from polygon_assets.defs.stream.runner import Copy, Ending
from polygon_assets.defs.stream.supervision import (
    REFUSALS,
    Limits,
    ProgramKeepsFailingError,
    ProgramNotDrainedError,
    ProgramRefusedError,
    Supervision,
)
from polygon_assets.messages import Heartbeat
from polygon_assets.streaming import program

LIMITS = Limits(
    grace_seconds=3.0,
    silence_seconds=0.4,
    first_beat_seconds=0.6,
    healthy_seconds=5.0,
    pauses=(0.01, 0.02),
    max_failures=3,
    poll_seconds=0.01,
)
OBEDIENT = """
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path(sys.argv[1]).write_text("drained")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1] + ".ready").touch()
while True: time.sleep(0.05)
"""
NOT_DRAINED = OBEDIENT.replace("sys.exit(0)", "sys.exit(13)")
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


@dataclass
class FakeHeartbeats:
    """A heartbeat of every process, or none: because it is silent, or because Kafka is away."""

    unreachable: bool = False
    silent: bool = False
    detail: str = ""

    def newest(self, process: str) -> Heartbeat | None:
        return (
            None
            if self.silent or self.unreachable
            else Heartbeat("filter", f"{process}:0", "streaming", 0, 0, self.detail)
        )

    def silent_seconds(self, process: str, since: float) -> float:  # noqa: ARG002
        return time.monotonic() - since if self.silent else 0.0


@dataclass
class TwoCopies:
    """A runner whose two copies go on until they are stopped."""

    outlives_run = True
    stopped: bool = False

    def ensure(self) -> None: ...

    def copies(self) -> list[Copy]:
        return [Copy(f"task {name}", f"ecs-task:{name}", time.monotonic(), 60.0) for name in "ab"]

    def endings(self) -> list[Ending]:
        return []

    def end(self, _copy: Copy, _reason: str, _grace_seconds: float) -> list[Ending]:
        return []

    def stop(self, _grace_seconds: float) -> list[Ending]:
        self.stopped = True
        return []

    def leave(self, _grace_seconds: float) -> list[Ending]:
        return []


@dataclass
class LaggingHeartbeats(FakeHeartbeats):
    """By process its lag; the newest heartbeat is the first copy's."""

    lags: dict[str, int] = field(default_factory=dict)

    def newest(self, process: str) -> Heartbeat | None:
        now = time.time_ns() // 1_000_000
        sent_at = now if process.endswith("a") else now - 900
        return Heartbeat("sink", f"{process}:0", "streaming", 0, sent_at, lag=self.lags[process])


@dataclass
class RecordingReporter:
    lines: list[str] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)
    lags: list[int | None] = field(default_factory=list)

    def observe(self, heartbeat: Heartbeat | None, restarts: int) -> None:
        self.restarts.append(restarts)
        self.lags += [heartbeat.lag] if heartbeat else []

    def log(self, text: str) -> None:
        self.lines.append(text)

    @property
    def pids(self) -> list[int]:
        return [int(line.rpartition(" ")[2]) for line in self.lines if line.startswith("started")]


def supervision(
    script: str,
    *arguments: str,
    heartbeats: FakeHeartbeats | None = None,
    finished: Callable[[], bool] = lambda: False,
) -> Supervision:
    reporter = RecordingReporter()
    return Supervision(
        ProcessRunner([sys.executable, "-c", script, *arguments], reporter.log),
        heartbeats or FakeHeartbeats(),
        reporter,
        lambda _heartbeat: finished(),
        LIMITS,
    )


def reporter_of(supervision: Supervision) -> RecordingReporter:
    assert isinstance(supervision.reporter, RecordingReporter)
    return supervision.reporter


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def after(seconds: float) -> Callable[[], bool]:
    start = time.monotonic()
    return lambda: time.monotonic() - start > seconds


def test_a_program_is_stopped_with_sigterm_when_the_session_is_over(tmp_path: Path) -> None:
    supervised = supervision(
        OBEDIENT, str(tmp_path / "out"), finished=(tmp_path / "out.ready").exists
    )
    supervised.run()
    assert (tmp_path / "out").read_text() == "drained"
    assert reporter_of(supervised).lines[-1].endswith("ended with exit code 0")


def test_a_program_that_does_not_end_well_when_the_session_is_over_is_a_failure_with_its_reason(
    tmp_path: Path,
) -> None:
    ready, heartbeats = (
        (tmp_path / "out.ready").exists,
        FakeHeartbeats(detail="7 messages could not be handed to Kafka"),
    )
    supervised = supervision(
        NOT_DRAINED, str(tmp_path / "out"), heartbeats=heartbeats, finished=ready
    )
    with pytest.raises(
        ProgramNotDrainedError,
        match=r"the session is over, but process .* ended with exit code 13.*7 messages",
    ):
        supervised.run()
    assert len(reporter_of(supervised).pids) == 1


def test_a_program_that_must_be_killed_when_the_session_is_over_is_a_failure() -> None:
    supervised = supervision(STUBBORN, finished=after(0.5))
    supervised.limits = Limits(0.2, 5.0, 5.0, 5.0, (0.01,), 2, 0.01)
    with pytest.raises(ProgramNotDrainedError, match="was killed by SIGKILL"):
        supervised.run()


def test_a_program_that_had_not_begun_when_the_session_was_over_is_no_failure() -> None:
    supervised = supervision("import time; time.sleep(60)", finished=after(0.1))
    supervised.run()
    assert reporter_of(supervised).lines[-1].endswith("was killed by SIGTERM")


def test_the_refusals_are_the_programs_own_exit_codes() -> None:
    assert set(REFUSALS) == {
        program.EXIT_WRONG_KEY,
        program.EXIT_NOT_ENTITLED,
        program.EXIT_BAD_SETTINGS,
        program.EXIT_UNKNOWN_ANSWER,
    }


def test_a_program_that_crashes_is_started_again_with_pauses_until_it_is_hopeless() -> None:
    supervised = supervision("import sys; sys.exit(3)")
    with pytest.raises(ProgramKeepsFailingError, match="exit code 3; 3 times in a row"):
        supervised.run()
    assert len(set(reporter_of(supervised).pids)) == 3
    assert [line for line in reporter_of(supervised).lines if "again in" in line][1].endswith(
        "starting again in 0.02 s"
    )


def test_a_program_that_is_killed_is_named_with_its_signal() -> None:
    supervised = supervision("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(ProgramKeepsFailingError, match="was killed by SIGKILL"):
        supervised.run()


def test_a_program_that_stops_by_itself_in_the_middle_of_the_session_is_started_again() -> None:
    supervised = supervision("pass", finished=after(60.0))
    with pytest.raises(ProgramKeepsFailingError, match="exit code 0"):
        supervised.run()


@pytest.mark.parametrize(("code", "cure"), [(10, "POLYGON_API_KEY"), (11, "plan"), (12, "doctor")])
def test_a_refusal_is_not_tried_again_and_names_the_cure(code: int, cure: str) -> None:
    supervised = supervision(
        f"import sys; sys.exit({code})", heartbeats=FakeHeartbeats(detail="vendor: auth_failed")
    )
    with pytest.raises(ProgramRefusedError, match=cure) as caught:
        supervised.run()
    assert "auth_failed" in str(caught.value)
    assert len(reporter_of(supervised).pids) == 1


def test_a_program_that_falls_silent_is_killed_even_if_it_ignores_sigterm() -> None:
    supervised = supervision(STUBBORN, heartbeats=FakeHeartbeats(silent=True))
    supervised.limits = Limits(0.2, 0.3, 0.5, 5.0, (0.01,), 2, 0.01)
    with pytest.raises(ProgramKeepsFailingError, match="sent no heartbeat for"):
        supervised.run()
    assert len(reporter_of(supervised).pids) == 2
    assert not any(lives(pid) for pid in reporter_of(supervised).pids)


def test_while_the_broker_is_away_a_silent_program_is_left_alone(tmp_path: Path) -> None:
    assert LIMITS.first_beat_seconds < 1.0
    supervised = supervision(
        OBEDIENT,
        str(tmp_path / "out"),
        heartbeats=FakeHeartbeats(unreachable=True),
        finished=after(1.0),
    )
    supervised.run()
    assert len(reporter_of(supervised).pids) == 1


@pytest.mark.parametrize("script", [OBEDIENT, NOT_DRAINED])
def test_an_interruption_leaves_nothing_behind_and_stays_one(tmp_path: Path, script: str) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    def when_ready() -> bool:
        if (tmp_path / "out.ready").exists():
            os.kill(os.getpid(), signal.SIGALRM)
        return False

    previous = signal.signal(signal.SIGALRM, interrupt)
    supervised = supervision(script, str(tmp_path / "out"), finished=when_ready)
    try:
        with pytest.raises(KeyboardInterrupt):
            supervised.run()
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert (tmp_path / "out").read_text() == "drained"
    assert not lives(reporter_of(supervised).pids[0])


def test_the_session_ends_for_all_copies_when_the_slowest_has_read_everything() -> None:
    heartbeats = LaggingHeartbeats(lags={"ecs-task:a": 0, "ecs-task:b": 3})
    runner, reporter = TwoCopies(), RecordingReporter()

    def finished(beats: Sequence[Heartbeat]) -> bool:
        now = dt.datetime.now(dt.UTC)
        has_ended = is_finished("sink", beats, now - LAST_EVENTS, now)
        if len(reporter.lags) > 5:
            heartbeats.lags["ecs-task:b"] = 0
        return has_ended

    Supervision(runner, heartbeats, reporter, finished, LIMITS).run()
    assert runner.stopped
    assert reporter.lags[:6] == [3] * 6
    assert reporter.lags[-1] == 0
