"""The checks' judgements; unit/inspection tests how the facts are read."""

import datetime as dt
from decimal import Decimal

import dagster as dg
import msgspec
import pytest

from polygon_assets.defs.stream.checks import (
    judge_account,
    judge_channels,
    judge_clocks,
    judge_freshness,
    judge_refusals,
    judge_rows,
    judge_standby,
    judge_waiting,
    stream_checks,
    while_open,
)
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.health import longest_wait
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.messages import PROGRAMS, Heartbeat
from polygon_assets.serving.minute_bars import FilledBars, Seconds
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.defs.conftest import ALWAYS_OPEN

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
DEFAULTS = Settings()
OLDEST = dt.timedelta(seconds=90)
SATURDAY = dt.datetime(2026, 11, 21, 15, 0, tzinfo=dt.UTC)


def ago(seconds: float) -> int:
    return int((NOW.timestamp() - seconds) * 1000)


def beat(age: float = 1, **changes: object) -> Heartbeat:
    plain = Heartbeat("producer", "host:1:1", "streaming", 0, ago(age))
    return msgspec.structs.replace(plain, **changes)


def judged_good(_settings: Settings, _now: dt.datetime) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, description="good")


def unreachable(_settings: Settings, _now: dt.datetime) -> dg.AssetCheckResult:
    raise KafkaUnreachableError("no broker")


def test_outside_the_session_every_check_passes_and_says_closed() -> None:
    result = while_open(ALWAYS_OPEN, MarketCalendar("NYSE"), SATURDAY, unreachable)
    assert (result.passed, result.description) == (True, "closed")


def test_while_open_what_cannot_be_asked_is_a_failure() -> None:
    assert while_open(ALWAYS_OPEN, MarketCalendar("NYSE"), NOW, judged_good).description == "good"
    result = while_open(ALWAYS_OPEN, MarketCalendar("NYSE"), NOW, unreachable)
    assert (result.passed, result.description) == (False, "no broker")


def test_every_check_has_a_description() -> None:
    assert all(spec.description for check in stream_checks() for spec in check.check_specs)


@pytest.mark.parametrize(
    ("heartbeat", "passed"),
    [
        (None, False),
        (beat(age=60, desired=2, confirmed=2), False),
        (beat(desired=2, confirmed=2), True),
        (beat(desired=2, confirmed=1, unconfirmed=["A.X: not authorized"]), False),
        (beat(), False),
    ],
)
def test_channels_must_all_be_confirmed_by_a_living_producer(
    heartbeat: Heartbeat | None, passed: bool
) -> None:
    assert judge_channels(heartbeat, NOW).passed is passed


def test_an_unconfirmed_channel_is_named() -> None:
    assert "A.X: not authorized" in str(
        judge_channels(beat(desired=1, unconfirmed=["A.X: not authorized"]), NOW).description
    )


@pytest.mark.parametrize(
    ("age", "delay", "regular", "passed"),
    [(5, 0, True, True), (120, 0, True, False), (120, 0, False, True), (960, 15, True, True)],
)
def test_freshness_is_asked_for_in_the_regular_session_and_allows_for_the_delayed_cluster(
    age: float, delay: int, regular: bool, passed: bool
) -> None:
    assert (
        judge_freshness(
            beat(newest_event=ago(age)), NOW, OLDEST + dt.timedelta(minutes=delay), regular
        ).passed
        is passed
    )


def test_before_the_first_event_only_the_regular_session_complains() -> None:
    assert not judge_freshness(beat(), NOW, OLDEST, are_due=True).passed
    assert judge_freshness(beat(), NOW, OLDEST, are_due=False).passed
    assert not judge_freshness(None, NOW, OLDEST, are_due=False).passed


@pytest.mark.parametrize(
    ("since", "passed"),
    [(None, True), (NOW - dt.timedelta(seconds=59), True), (NOW - dt.timedelta(seconds=61), False)],
)
def test_nothing_may_wait_longer_than_a_minute(since: dt.datetime | None, passed: bool) -> None:
    assert judge_waiting(since, NOW, 5, longest_wait("filter", DEFAULTS)).passed is passed


def test_a_program_that_collects_for_minutes_may_wait_so_much_longer() -> None:
    since = NOW - dt.timedelta(seconds=359)
    assert not judge_waiting(since, NOW, 5, longest_wait("filter", DEFAULTS)).passed
    assert judge_waiting(since, NOW, 5, longest_wait("archiver", DEFAULTS)).passed


@pytest.mark.parametrize("unit", [1_000, 1_000_000, 10**40])
def test_a_newest_event_in_another_unit_is_a_failure_with_a_sentence(unit: int) -> None:
    judgement = judge_freshness(beat(newest_event=ago(5) * unit), NOW, OLDEST, are_due=True)
    assert not judgement.passed
    assert "no time in milliseconds" in str(judgement.description)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("refused", "read", "passed"), [(0, 0, True), (1, 100, True), (2, 100, False), (1, 0, False)]
)
def test_each_programs_refusals_are_bounded_by_a_share_of_what_it_read(
    program: str, refused: int, read: int, passed: bool
) -> None:
    good: dict[str, Heartbeat] = dict.fromkeys(PROGRAMS, beat(counters={"read": 1_000_000}))
    judgement = judge_refusals(
        good | {program: beat(counters={"refused": refused, "read": read})}, NOW, DEFAULTS
    )
    assert judgement.passed is passed
    assert f"{program}: {refused} refused, {read} read" in str(judgement.description)


def test_what_a_silent_program_refused_is_not_known() -> None:
    good = dict.fromkeys(("producer", "filter", "archiver"), beat(counters={"read": 100}))
    judgement = judge_refusals(good, NOW, DEFAULTS)
    assert not judgement.passed
    assert "sink: no heartbeat" in str(judgement.description)


def test_rows_are_accounted_for_when_none_is_missing() -> None:
    assert judge_rows(600, []).passed


@pytest.mark.parametrize(
    ("delay_ms", "passed"),
    [
        (None, True),
        (2_000, True),
        (900_000, True),
        (-1_000, True),
        (-1_001, False),
        (-8_000, False),
    ],
)
def test_bars_that_arrive_before_their_second_ends_show_a_wrong_clock(
    delay_ms: int | None, passed: bool
) -> None:
    judgement = judge_clocks(beat(arrival_delay_ms=delay_ms), NOW, DEFAULTS)
    assert judgement.passed is passed
    assert passed or "NTP" in str(judgement.description)


@pytest.mark.parametrize(
    ("copies", "ages", "passed"),
    [(1, [], True), (2, [], False), (2, [1], True), (2, [99], False), (3, [1], False)],
)
def test_a_missing_standby_fails_the_check(copies: int, ages: list[int], passed: bool) -> None:
    now_ms = round(NOW.timestamp() * 1000)
    standbys = {f"host:{age}": beat(sent_at=now_ms - age * 1000) for age in ages}
    assert judge_standby(copies, standbys, NOW).passed is passed


@pytest.mark.parametrize(
    "outcome", ["forwarded", "refused", "status", "unsubscribed", "dropped", "released", "waiting"]
)
def test_every_event_read_is_in_the_account_or_the_check_says_so(outcome: str) -> None:
    assert judge_account({"filter": beat(counters={"read": 7, outcome: 7})}, NOW).passed
    judgement = judge_account({"filter": beat(counters={"read": 8, outcome: 7})}, NOW)
    assert not judgement.passed
    assert "filter: cannot account for 1 of 8 events" in str(judgement.description)


def test_refusals_of_a_sink_that_kafka_connect_replaces_are_not_judged() -> None:
    beats: dict[str, Heartbeat] = {name: beat() for name in PROGRAMS if name != "sink"}
    assert not judge_refusals(beats, NOW, DEFAULTS).passed
    judgement = judge_refusals(beats, NOW, Settings(sink_runner="connect"))
    assert judgement.passed
    assert "sink: replaced by Kafka Connect" in str(judgement.description)


def test_recent_refusals_fail_the_check_with_their_reason_though_few_since_the_start() -> None:
    good: dict[str, Heartbeat] = dict.fromkeys(PROGRAMS, beat(counters={"read": 1_000_000}))
    recent = beat(
        counters={"read": 1_000_000, "refused": 93},
        recent_read=93,
        recent_refused=93,
        last_refusal="vwap 0.0 must be > 0",
    )
    judgement = judge_refusals(good | {"filter": recent}, NOW, DEFAULTS)
    assert not judgement.passed
    assert "vwap 0.0 must be > 0" in str(judgement.description)


@pytest.mark.parametrize(
    ("bars", "before", "after", "passed"),
    [
        ((10, "5.5"), (10, "5.5"), (10, "5.5"), True),
        ((9, "5.5"), (10, "5.5"), (10, "5.5"), False),
        ((10, "5.4"), (10, "5.5"), (10, "5.5"), False),
        ((10, "5.5"), (10, "5.5"), (12, "7"), True),
        ((12, "7"), (10, "5.5"), (12, "7"), True),
        ((11, "6"), (10, "5.5"), (12, "7"), True),
        ((9, "5"), (10, "5.5"), (12, "7"), False),
        ((13, "8"), (10, "5.5"), (12, "7"), False),
        ((10, "5.4"), (10, "5.5"), (10, "5.4"), True),
    ],
)
def test_bars_hold_every_share_also_while_seconds_arrive(
    bars: tuple[int, str], before: tuple[int, str], after: tuple[int, str], passed: bool
) -> None:
    filled = FilledBars(
        1,
        1,
        Seconds(bars[0], Decimal(bars[1])),
        Seconds(before[0], Decimal(before[1])),
        Seconds(after[0], Decimal(after[1])),
    )
    assert filled.hold_every_share is passed
