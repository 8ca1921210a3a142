"""When a program counts as alive and as ready: one table for whatever it may wait for.

The same on real programs belongs to processes/test_metrics.py.
"""

import datetime as dt

import pytest

from polygon_assets.inspection.health import liveness_problem, readiness_problem
from polygon_assets.messages import Heartbeat, ProgramName, ProgramState
from polygon_assets.settings import Settings

NOW = dt.datetime(2026, 11, 20, 16, tzinfo=dt.UTC)
SETTINGS = Settings.model_validate({"drain_seconds": 10})


def ago(seconds: float) -> int:
    return round((NOW.timestamp() - seconds) * 1000)


def beat(
    program: ProgramName,
    state: ProgramState,
    *,
    sent: float = 1,
    acknowledged: float | None = 2,
    started: float = 3600,
    detail: str = "",
) -> Heartbeat:
    """A heartbeat with its times as seconds before NOW."""
    return Heartbeat(
        program,
        "host:1:1",
        state,
        started_at=ago(started),
        sent_at=ago(sent),
        detail=detail,
        is_standby=state == "standby",
        acknowledged_at=None if acknowledged is None else ago(acknowledged),
    )


CASES = {
    "it streams": (beat("filter", "streaming"), "", ""),
    "a standby would replace the leader": (beat("producer", "standby"), "", ""),
    "it looks for the previous process": (
        beat("sink", "starting", sent=40, acknowledged=None, started=40),
        "",
        "starting",
    ),
    "it never came to its first heartbeat": (
        beat("sink", "starting", sent=61, acknowledged=None, started=61),
        "hangs: no heartbeat for 61 s, since it was starting",
        "hangs",
    ),
    "the vendor is away": (
        beat("producer", "backing_off", detail="refused"),
        "",
        "backing_off: refused",
    ),
    "it connects": (beat("producer", "connecting"), "", "connecting"),
    "nothing is subscribed yet": (
        beat("producer", "waiting", detail="no accepted set"),
        "",
        "waiting: no accepted set",
    ),
    "ClickHouse has been away for days": (
        beat("sink", "backing_off", started=300_000, detail="ClickHouse: no answer"),
        "",
        "backing_off: ClickHouse: no answer",
    ),
    "S3 is away": (beat("archiver", "backing_off", detail="S3"), "", "backing_off: S3"),
    "Kafka was away when it started": (
        beat("filter", "waiting", acknowledged=None),
        "",
        "waiting",
    ),
    "Kafka has been away for long": (
        beat("producer", "streaming", acknowledged=7200, started=9000),
        "",
        "Kafka has acknowledged no heartbeat for 7200 s",
    ),
    "the first heartbeat is on its way": (
        beat("filter", "streaming", acknowledged=None),
        "",
        "Kafka has acknowledged no heartbeat yet",
    ),
    "a standby without Kafka cannot take over": (
        beat("producer", "standby", acknowledged=11),
        "",
        "Kafka has acknowledged no heartbeat for 11 s",
    ),
    "Kafka elects a leader of a partition": (beat("filter", "streaming", acknowledged=9), "", ""),
    "its machine is busy": (beat("filter", "streaming", sent=15, acknowledged=9), "", ""),
    "its loop hangs": (
        beat("filter", "streaming", sent=16, acknowledged=17),
        "hangs: no heartbeat for 16 s, since it was streaming",
        "hangs",
    ),
    "its loop hangs while it waits": (
        beat("sink", "backing_off", sent=16),
        "hangs: no heartbeat for 16 s, since it was backing_off",
        "hangs",
    ),
    "it drains within its deadline": (
        beat("producer", "draining", sent=24, acknowledged=25),
        "",
        "draining",
    ),
    "it drains for ever": (beat("producer", "draining", sent=26), "hangs", "hangs"),
    "it has stopped": (beat("producer", "stopped", sent=0), "", "stopped"),
    "the clock was set back": (beat("filter", "streaming", sent=-3600, acknowledged=-3601), "", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_only_a_hung_program_is_to_be_killed_and_only_a_working_one_is_ready(case: str) -> None:
    heartbeat, liveness, readiness = CASES[case]
    for problem, expected in (
        (liveness_problem(heartbeat, NOW, SETTINGS), liveness),
        (readiness_problem(heartbeat, NOW, SETTINGS), readiness),
    ):
        assert problem.startswith(expected)
        assert bool(problem) == bool(expected)


def test_what_is_not_alive_is_not_ready() -> None:
    for heartbeat, liveness, _ in CASES.values():
        if liveness:
            assert readiness_problem(heartbeat, NOW, SETTINGS)
