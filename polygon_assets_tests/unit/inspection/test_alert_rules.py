"""Each alert is judged at its limit; unknown facts are never judged as good."""

import datetime as dt
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from polygon_assets.clients.ecs import Service, Task
from polygon_assets.clients.kafka_connect import ConnectorState, TaskState
from polygon_assets.inspection.alert_rules import ALERTS, AlertFacts, judge
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import WALL_CLOCK, MarketClock
from polygon_assets.messages import PROGRAMS, Heartbeat
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets.topics import READERS

NYSE = MarketCalendar("NYSE")
FRIDAY_NOON = dt.datetime(2026, 11, 20, 17, 0, tzinfo=dt.UTC)
FRIDAY_PRE_MARKET = dt.datetime(2026, 11, 20, 10, 0, tzinfo=dt.UTC)
SATURDAY = dt.datetime(2026, 11, 21, 17, 0, tzinfo=dt.UTC)
SETTLED = dt.datetime(2026, 11, 20, 1, 15, tzinfo=dt.UTC)
"""When the corrections of Thursday's session ended."""
THURSDAY = dt.date(2026, 11, 19)
SETTINGS = Settings(producer_copies=2)
SECOND, MINUTE = dt.timedelta(seconds=1), dt.timedelta(minutes=1)


def ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)


def beat(now: dt.datetime, age: float = 1.0, **changes: Any) -> Heartbeat:
    values = {"newest_event": ms(now - 3 * SECOND), "desired": 5} | changes
    return Heartbeat("producer", "host:1:1", "streaming", 0, ms(now - age * SECOND), **values)


def good(now: dt.datetime = FRIDAY_NOON) -> AlertFacts:
    """The facts of a system without any fault."""
    return AlertFacts(
        now,
        NYSE,
        WALL_CLOCK,
        heartbeats=dict.fromkeys(PROGRAMS, beat(now)),
        standbys={"host:2:2": beat(now)},
        waiting_since=dict.fromkeys(READERS, None),
        gaps=[],
        open_days=[],
        failed_syncs={},
        free_bytes={"/data": SETTINGS.alert_disk_free_bytes},
        clickhouse_free_bytes={"default": SETTINGS.alert_disk_free_bytes},
        restarts={"filter": SETTINGS.alert_restarts - 1},
        services={},
        connectors={},
    )


def firing(facts: AlertFacts, settings: Settings = SETTINGS) -> dict[str, list[str]]:
    """By alert, the subjects."""
    return {name: list(causes) for name, causes in judge(facts, settings).items() if causes}


def of_producer(now: dt.datetime = FRIDAY_NOON, **changes: Any) -> dict[str, Any]:
    return {"heartbeats": dict.fromkeys(PROGRAMS, beat(now)) | {"producer": beat(now, **changes)}}


def gap(ended_ago: dt.timedelta, **changes: Any) -> dict[str, Any]:
    until = FRIDAY_NOON - ended_ago
    return {"gaps": [GapEntry("g", until - MINUTE, until, "crash", **changes)]}


def waiting(program: str, seconds: float) -> dict[str, Any]:
    none: dict[str, dt.datetime | None] = dict.fromkeys(READERS, None)
    return {"waiting_since": none | {program: FRIDAY_NOON - seconds * SECOND}}


def starting(seconds: float) -> dict[str, Any]:
    task = Task("t", "PENDING", FRIDAY_NOON - seconds * SECOND)
    return {"services": {"filter": Service("polygon-assets-filter", 1, 0, (task,))}}


def connector(task_state: str) -> dict[str, Any]:
    tasks = (TaskState(0, task_state, "10.0.0.7:8083"),)
    return {"connectors": {"one": ConnectorState("one", "RUNNING", tasks=tasks)}}


LIMITS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("gap_open", "", gap(30 * MINUTE), gap(30 * MINUTE + SECOND)),
    ("gap_open", "", gap(9 * MINUTE, state="unfillable"), gap(31 * MINUTE, state="unfillable")),
    ("gap_open", "", gap(99 * MINUTE, state="waived"), gap(99 * MINUTE, state="filled")),
    ("lag", "filter", waiting("filter", 60), waiting("filter", 61)),
    ("lag", "sink", waiting("sink", 60), waiting("sink", 61)),
    ("lag", "archiver", waiting("archiver", 360), waiting("archiver", 361)),
    (
        "silence",
        "",
        of_producer(newest_event=ms(FRIDAY_NOON - 90 * SECOND)),
        of_producer(newest_event=ms(FRIDAY_NOON - 91 * SECOND)),
    ),
    ("silence", "", of_producer(newest_event=None, desired=0), of_producer(newest_event=None)),
    ("silence", "", of_producer(age=15), of_producer(age=16)),
    (
        "clock_skew",
        "",
        of_producer(arrival_delay_ms=-1_000),
        of_producer(arrival_delay_ms=-1_001),
    ),
    (
        "refusals",
        "producer",
        of_producer(recent_read=100, recent_refused=1),
        of_producer(recent_read=100, recent_refused=2),
    ),
    (
        "day_open",
        "2026-11-19",
        {"open_days": [THURSDAY], "now": SETTLED + 60 * MINUTE},
        {"open_days": [THURSDAY], "now": SETTLED + 60 * MINUTE + SECOND},
    ),
    ("sync_failed", "polygon_daily", {"failed_syncs": {}}, {"failed_syncs": {"polygon_daily": ""}}),
    ("disk", "/data", {"free_bytes": {"/data": 2**31}}, {"free_bytes": {"/data": 2**31 - 1}}),
    (
        "clickhouse_disk",
        "default",
        {"clickhouse_free_bytes": {"default": 2**31}},
        {"clickhouse_free_bytes": {"default": 2**31 - 1}},
    ),
    ("restart_loop", "sink", {"restarts": {"sink": 2}}, {"restarts": {"sink": 3}}),
    (
        "standby_missing",
        "",
        {"standbys": {"host:2:2": beat(FRIDAY_NOON, age=15)}},
        {"standbys": {"host:2:2": beat(FRIDAY_NOON, age=16)}},
    ),
    ("task_not_started", "filter", starting(180), starting(181)),
    ("connector_not_running", "one", connector("RUNNING"), connector("PAUSED")),
    ("unreadable", "kafka", {"unreadable": {}}, {"unreadable": {"kafka": "no broker answers"}}),
]


@pytest.mark.parametrize(("alert", "subject", "at_limit", "beyond"), LIMITS)
def test_each_alert_fires_beyond_its_limit_not_at_it_and_no_other_one_does(
    alert: str, subject: str, at_limit: dict[str, Any], beyond: dict[str, Any]
) -> None:
    now = beyond.get("now", FRIDAY_NOON)
    assert firing(replace(good(now), **at_limit)) == {}
    assert firing(replace(good(now), **beyond)) == {alert: [subject]}


def test_the_table_above_and_the_documentation_have_every_alert() -> None:
    names = {alert.name for alert in ALERTS}
    assert {row[0] for row in LIMITS} == names
    documented = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()
    assert {name for name in names if f"`{name}`" not in documented} == set()


@pytest.mark.parametrize(
    "name",
    [
        item.name
        for item in fields(AlertFacts)
        if item.name not in ("now", "calendar", "standbys", "unreadable")
    ],
)
def test_a_fact_that_is_unknown_makes_its_alerts_unknown_and_fires_none(name: str) -> None:
    unknown: dict[str, Any] = {name: None}
    judged = judge(replace(good(), **unknown), SETTINGS)
    assert None in judged.values()
    assert not any(judged.values())


def test_without_any_fact_only_the_unreadable_systems_are_judged() -> None:
    judged = judge(AlertFacts(FRIDAY_NOON, NYSE), SETTINGS)
    assert {name for name, causes in judged.items() if causes is not None} == {"unreadable"}


def test_a_program_without_a_heartbeat_lags_while_the_market_is_open() -> None:
    beats = {str(program): beat(FRIDAY_NOON) for program in ("producer", "filter", "archiver")}
    assert judge(replace(good(), heartbeats=beats), SETTINGS)["lag"] == {"sink": "no heartbeat"}


def test_where_kafka_connect_replaces_the_sink_its_old_heartbeat_fires_nothing() -> None:
    replaced = Settings(producer_copies=2, sink_runner="connect")
    old = beat(FRIDAY_NOON, age=60_000, recent_read=10, recent_refused=10)
    beats: dict[str, Heartbeat] = dict.fromkeys(PROGRAMS, beat(FRIDAY_NOON))
    facts = replace(good(), heartbeats=beats | {"sink": old})
    assert firing(facts, replaced) == {}
    assert firing(facts) == {"lag": ["sink"], "refusals": ["sink"]}
    late = replace(facts, **waiting("sink", 61))
    assert firing(late, replaced) == {"lag": ["sink"]}


def test_a_closed_market_is_silent_without_an_alert() -> None:
    stopped: dict[str, Heartbeat] = dict.fromkeys(
        PROGRAMS, beat(SATURDAY, age=60_000, newest_event=None)
    )
    assert firing(replace(good(SATURDAY), heartbeats=stopped, standbys={})) == {}


def test_a_lag_at_the_close_is_neither_new_nor_over() -> None:
    facts = replace(good(SATURDAY), waiting_since={"sink": SATURDAY - 99 * MINUTE})
    assert judge(facts, SETTINGS)["lag"] is None


def test_before_the_regular_session_a_quiet_set_is_no_alert() -> None:
    quiet = of_producer(FRIDAY_PRE_MARKET, newest_event=None)
    assert firing(replace(good(FRIDAY_PRE_MARKET), **quiet)) == {}


def test_one_copy_needs_no_standby() -> None:
    assert firing(replace(good(), standbys={}), Settings()) == {}


def test_in_a_replay_ages_are_wall_time() -> None:
    """Thirty times as fast, a gap that ended 20 market minutes ago is 40 s old."""
    wall, market = FRIDAY_NOON.timestamp(), FRIDAY_NOON.timestamp() - 86_400
    clock = MarketClock(30.0, market - 7_200, market + 7_200, ((wall - 240, market - 7_200),))
    ended = clock.market(FRIDAY_NOON) - 50 * MINUTE
    gaps = [GapEntry("g", ended - MINUTE, ended, "crash")]
    assert judge(replace(good(), gaps=gaps, clock=clock), SETTINGS)["gap_open"] == {}
    assert judge(replace(good(), gaps=gaps, clock=clock), Settings(alert_gap_minutes=1))["gap_open"]
