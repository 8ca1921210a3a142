"""A replayed day as the graph sees it: what is judged by market time, and what by the wall's."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import pytest
from dagster import DagsterRunStatus as Status

from polygon_assets.batch import day_comparison
from polygon_assets.clients import market_clock
from polygon_assets.definitions import build_defs
from polygon_assets.defs.batch import backlogs
from polygon_assets.defs.graph.keys import (
    FACT_DAILY_TRADING,
    OHLCV_1M,
    STOCK_AGGREGATES,
    STREAM_VS_BATCH,
)
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import RunFacts, Wait
from polygon_assets.defs.stream import facts, jobs
from polygon_assets.defs.stream.checks import judge_freshness
from polygon_assets.defs.stream.day_closing import Verdict, day_closed
from polygon_assets.defs.stream.decisions import Start, StreamFacts, decide, streams_until
from polygon_assets.defs.stream.schedules import ohlcv_1m_while_open
from polygon_assets.inspection import streams, tables
from polygon_assets.market_calendar import NEW_YORK, REVISION_WINDOW
from polygon_assets.market_clock import MarketClock, calendar_of
from polygon_assets.messages import Heartbeat
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings

DAY = dt.date(2026, 11, 20)
SPEED = 30.0
STARTED = dt.datetime(2026, 11, 27, 3, 0, tzinfo=dt.UTC)
"""When the first client subscribed: in the night of another day, when no US market is open."""
REPLAY = Settings(
    market_calendar="NYSE",
    market_replay="2026-11-20T15:50",
    clickhouse_host="127.0.0.1",
    daily_history_days=1,
)
CALENDAR = calendar_of(REPLAY)
SECOND = dt.timedelta(seconds=1)


def new_york(time: str) -> dt.datetime:
    return dt.datetime.combine(DAY, dt.time.fromisoformat(time), NEW_YORK).astimezone(dt.UTC)


def clock_since(*anchors: tuple[float, float]) -> MarketClock:
    return MarketClock(SPEED, new_york("15:50").timestamp(), new_york("20:20").timestamp(), anchors)


WAITING = clock_since()
RUNNING = clock_since((STARTED.timestamp(), new_york("15:50").timestamp()))


def wall(time: str) -> dt.datetime:
    """When the replay shows this New York time."""
    found = RUNNING.wall(new_york(time))
    assert found is not None
    return found


class Replayed(Environment):
    """The environment of a replay; `clock` is the test's."""

    def settings(self) -> Settings:
        return REPLAY


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Callable[[MarketClock], None]:
    """Make everybody see this clock."""

    def set_clock(clock: MarketClock) -> None:
        monkeypatch.setattr(market_clock, "connect", lambda _settings: clock)

    set_clock(RUNNING)
    return set_clock


def test_streams_start_before_the_replay_runs_and_while_it_does() -> None:
    for clock, now in ((WAITING, STARTED), (RUNNING, wall("15:51")), (RUNNING, wall("20:14"))):
        answer = decide(StreamFacts("producer"), CALENDAR, now, clock)
        assert isinstance(answer, Start)
        assert answer.session == DAY


def test_streams_stay_down_once_the_replay_is_over() -> None:
    for seconds in (0, 3600, 86_400):
        answer = decide(
            StreamFacts("producer"), CALENDAR, wall("20:15") + seconds * SECOND, RUNNING
        )
        assert isinstance(answer, Wait)
        assert "closed" in answer.reason


def test_a_run_that_failed_before_the_replay_began_counts_for_its_session() -> None:
    failed = RunFacts("a", Status.FAILURE, STARTED - 60 * SECOND, STARTED - 30 * SECOND)
    answer = decide(StreamFacts("producer", [failed]), CALENDAR, STARTED, WAITING)
    assert isinstance(answer, Start)
    assert (answer.attempt, answer.after) == (2, "a")


def test_pauses_after_failures_are_wall_time() -> None:
    failed = RunFacts("a", Status.FAILURE, wall("16:00") - 60 * SECOND, wall("16:00"))
    assert isinstance(
        decide(StreamFacts("producer", [failed]), CALENDAR, wall("16:00") + 4 * SECOND, RUNNING),
        Wait,
    )
    assert isinstance(
        decide(StreamFacts("producer", [failed]), CALENDAR, wall("16:00") + 6 * SECOND, RUNNING),
        Start,
    )


def test_programs_get_a_minute_of_wall_time_after_the_replayed_window(
    show: Callable[[MarketClock], None],
) -> None:
    until = streams_until(CALENDAR, RUNNING.market(wall("15:51")))
    assert until == new_york("20:15")
    assert jobs._wall_time(Replayed(), until) == wall("20:15")
    show(WAITING)
    assert jobs._wall_time(Replayed(), until) is None, "nobody knows when"


def test_without_the_exchange_programs_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_settings: Settings) -> MarketClock:
        raise market_clock.MarketClockError("nobody answers")

    monkeypatch.setattr(market_clock, "connect", refused)
    assert jobs._wall_time(Replayed(), new_york("20:15")) is None


def ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def beat_of(since: dt.datetime, at: dt.datetime, newest_event: int | None = None) -> Heartbeat:
    """The last heartbeat of a producer with all its channels."""
    return Heartbeat(
        "producer",
        "host:1:1",
        "streaming",
        ms(since),
        ms(at),
        newest_event=newest_event,
        desired=2,
        confirmed=2,
    )


def evidence(
    monkeypatch: pytest.MonkeyPatch,
    *,
    since: dt.datetime,
    at: dt.datetime,
    waits: dt.datetime | None = None,
) -> None:
    """A producer that was complete from `since` to `at`, and what waits; times are the wall's."""
    seconds = range(int((at - since).total_seconds()) + 1)
    beats = [complete_beat(since + second * SECOND) for second in seconds]
    monkeypatch.setattr(streams, "pending_since", lambda *_: waits)
    monkeypatch.setattr(tables, "heartbeats_between", lambda *_: beats)
    monkeypatch.setattr(tables, "day_rows", lambda _settings, days: dict.fromkeys(days, 100))


def complete_beat(at: dt.datetime) -> Heartbeat:
    """A heartbeat of a producer with all its channels."""
    beat = beat_of(STARTED, at)
    beat.complete_until = ms(at)
    return beat


def verdict(*gaps: GapEntry) -> Verdict:
    [known] = facts.day_facts(REPLAY, [DAY], gaps, wall("20:16"))
    return day_closed(known, CALENDAR, new_york("20:16"))


@pytest.mark.usefixtures("show")
def test_a_replayed_day_is_proved_by_a_producer_that_was_up_from_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evidence(monkeypatch, since=STARTED - 30 * SECOND, at=wall("20:01"))
    assert verdict().closed


@pytest.mark.usefixtures("show")
@pytest.mark.parametrize(
    ("since", "at", "reason"),
    [
        (wall("15:52"), wall("20:01"), "from 20:50:00 to 20:52:00 UTC"),
        (STARTED, wall("19:58"), "from 00:58:00 to 01:00:00 UTC"),
    ],
)
def test_a_producer_that_came_late_or_left_early_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
    since: dt.datetime,
    at: dt.datetime,
    reason: str,
) -> None:
    evidence(monkeypatch, since=since, at=at)
    found = verdict()
    assert not found.closed
    assert reason in found.reason


@pytest.mark.usefixtures("show")
def test_what_was_received_before_the_end_of_the_window_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evidence(monkeypatch, since=STARTED, at=wall("20:01"), waits=wall("20:10"))
    assert "has not processed what was received" in verdict().reason


@pytest.mark.usefixtures("show")
def test_a_gap_of_the_replay_keeps_its_day_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gap = GapEntry("id", new_york("17:00"), new_york("17:05"), "disconnect")
    evidence(monkeypatch, since=STARTED, at=wall("20:01"))
    assert "gaps: 1 open" in verdict(gap).reason
    assert verdict(replace(gap, state="verified")).closed


@pytest.mark.usefixtures("show")
def test_a_verified_gap_covers_what_no_producer_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    gap = GapEntry("id", new_york("15:50"), new_york("15:52"), "late start", state="verified")
    evidence(monkeypatch, since=wall("15:52"), at=wall("20:01"))
    assert verdict(gap).closed


def test_the_replayed_day_is_loaded_as_soon_as_it_is_settled(instance: dg.DagsterInstance) -> None:
    before = backlogs.load_backlog(instance, REPLAY, CALENDAR, wall("20:14"), RUNNING)
    assert before.days == [DAY - dt.timedelta(days=1)]
    after = backlogs.load_backlog(instance, REPLAY, CALENDAR, wall("20:15") + SECOND, RUNNING)
    assert after.days == [DAY], (
        "the daily schedule ticks by the wall clock, so nothing is left to it"
    )
    for gather_backlog in (backlogs.fact_table_backlog, backlogs.comparison_backlog):
        assert (
            DAY in gather_backlog(instance, REPLAY, CALENDAR, wall("20:15") + SECOND, RUNNING).days
        )


@pytest.mark.usefixtures("show")
@pytest.mark.parametrize(
    ("tick", "partition"),
    [(wall("15:51"), str(DAY)), (wall("19:59"), str(DAY)), (wall("20:05"), None)],
)
def test_a_schedule_is_about_the_replayed_day(tick: dt.datetime, partition: str | None) -> None:
    environment = {"environment": Replayed()}
    # A schedule asks for its instance by reference, which one in memory has not.
    with (
        dg.instance_for_test() as kept,
        dg.build_schedule_context(
            kept, scheduled_execution_time=tick, resources=environment
        ) as context,
    ):
        answer = ohlcv_1m_while_open(context)
    found = answer.partition_key if isinstance(answer, dg.RunRequest) else None
    assert found == partition


def test_the_age_of_an_event_is_wall_time() -> None:
    now = wall("16:00")
    beat = beat_of(STARTED, now, newest_event=ms(new_york("15:59:50")))
    result = judge_freshness(beat, now, 90 * SECOND, True, RUNNING)
    assert result.passed
    assert result.metadata["newest_event_age_seconds"].value == pytest.approx(10 / SPEED, abs=0.01)
    beat = beat_of(STARTED, now + 100 * SECOND, newest_event=ms(new_york("15:59:50")))
    late = judge_freshness(beat, now + 100 * SECOND, 90 * SECOND, True, RUNNING)
    assert not late.passed


def test_a_set_that_was_accepted_before_the_replay_is_compared_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Accepted:
        accepted_at = (STARTED - 20 * SECOND).isoformat()
        symbols = frozenset({"AAPL", "MSFT"})

        def accepted(self) -> "Accepted":
            return self

    monkeypatch.setattr(
        "polygon_assets.clients.subscription_store.connect", lambda _settings: Accepted()
    )
    session = CALENDAR.session(DAY)
    assert session is not None
    assert day_comparison._subscribed(REPLAY, session, [], RUNNING) == (Accepted.symbols, "")
    Accepted.accepted_at = wall("16:00").isoformat()
    assert "after the day began" in day_comparison._subscribed(REPLAY, session, [], RUNNING)[1]


@pytest.mark.parametrize("day", ["2026-01-02", "2026-06-15", "2026-11-20"])
def test_any_day_that_is_closed_is_followed_however_old_it_is(
    instance: dg.DagsterInstance, day: str
) -> None:
    defs = build_defs(Settings.model_construct(market_calendar="NYSE"))
    selection = dg.AssetSelection.assets(OHLCV_1M, STREAM_VS_BATCH)
    first = dg.evaluate_automation_conditions(defs, instance=instance, asset_selection=selection)
    for key in (STOCK_AGGREGATES, FACT_DAILY_TRADING):
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=day))
        for check in defs.resolve_asset_graph().get_check_keys_for_assets({key}):
            passed = dg.AssetCheckEvaluation(
                asset_key=key, check_name=check.name, passed=True, metadata={}, partition=None
            )
            instance.report_runless_asset_event(passed)
    second = dg.evaluate_automation_conditions(
        defs, instance=instance, asset_selection=selection, cursor=first.cursor
    )
    assert second.get_requested_partitions(OHLCV_1M) == {day}
    assert second.get_requested_partitions(STREAM_VS_BATCH) == {day}


def test_the_revision_window_is_market_time() -> None:
    assert wall("20:15") - wall("20:00") == REVISION_WINDOW / SPEED
