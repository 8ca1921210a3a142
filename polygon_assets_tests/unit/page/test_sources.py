"""What the page reads from ClickHouse: coverage and delays that grow, closed days.

What is made of it for a view belongs to test_trust and test_board.
"""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from msgspec import structs

from polygon_assets.gap_filling.coverage import Interval
from polygon_assets.market import Connection
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.messages import Heartbeat, ProgramName
from polygon_assets.page import sources
from polygon_assets.page.channel_coverage import Activity
from polygon_assets.page.sources import (
    Beats,
    Delays,
    NewestPrices,
    _activity,
    _filled_days,
    _lags,
    _rates,
    _usage,
)
from polygon_assets.page.trust_tables import lags_html
from polygon_assets.serving import heartbeat_history
from polygon_assets_tests.unit.serving.seconds import Second, insert

SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
NYSE = MarketCalendar("NYSE")
OPENING = NYSE.next_session(dt.datetime.now(dt.UTC) - 6 * DAY).regular_open
"""Of a day that is not older than heartbeats are kept."""


def beats(since: float, until: float, instance: str = "host:1") -> list[Heartbeat]:
    """Complete heartbeats of the producer every ten seconds; seconds after OPENING."""
    times = [OPENING + at * SECOND for at in range(int(since), int(until) + 1, 10)]
    return [
        Heartbeat(
            "producer",
            instance,
            "streaming",
            1,
            sent_at=round(1000 * time.timestamp()),
            epoch=1,
            complete_until=round(1000 * time.timestamp()),
            desired=1,
            confirmed=1,
        )
        for time in times
    ]


def part(since: float, until: float) -> Interval:
    return Interval(OPENING + since * SECOND, OPENING + until * SECOND)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, dt.datetime]:
    """The market time that a connection says."""
    times = {"now": OPENING + 60 * SECOND}
    monkeypatch.setattr(Connection, "now", lambda _: times["now"])
    return times


def test_coverage_grows_with_the_heartbeats(
    client: Client, connection: Connection, clock: dict[str, dt.datetime]
) -> None:
    source = Beats()
    assert source.ask(connection).whole == []
    heartbeat_history.store(client, beats(0, 30))
    assert source.ask(connection).whole == [part(0, 10), part(10, 20), part(20, 30)]
    # Stored late, and by a second process: both count, and no interval joins two processes.
    heartbeat_history.store(client, beats(40, 50) + beats(60, 80, "host:2"))
    clock["now"] = OPENING + 90 * SECOND
    assert source.ask(connection).whole[3:] == [
        part(30, 40),
        part(40, 50),
        part(60, 70),
        part(70, 80),
    ]


def test_coverage_begins_again_with_the_next_session(
    client: Client, connection: Connection, clock: dict[str, dt.datetime]
) -> None:
    source = Beats()
    heartbeat_history.store(client, beats(0, 30))
    assert source.ask(connection).whole
    clock["now"] += 5 * DAY
    assert not source.ask(connection).whole


def received(minute: dt.datetime, at: float, delay: float, symbol: str = "A") -> Second:
    """A second that starts so many seconds after a minute, received `delay` after its end."""
    start = minute + dt.timedelta(seconds=at)
    start_ms = round(1000 * start.timestamp())
    received_us = 1000 * (start_ms + 1000 + round(1000 * delay))
    return Second(symbol, start_ms, received_us, 1.0, 3.0, 0.5, 2.0, Decimal(5), 1.5)


def test_prices_are_read_again_once_a_newer_second_is_stored_and_for_their_ages(
    client: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "AGES_SECONDS", 60.0)
    minute, source = OPENING, NewestPrices()
    insert(client, [received(minute, 1, 0.2)])
    first = source.ask(connection)
    assert source.ask(connection) is first
    insert(client, [received(minute, 2, 0.2)])
    second = source.ask(connection)
    assert (first.newest, second.newest) == (minute + SECOND, minute + 2 * SECOND)
    client.command("OPTIMIZE TABLE market.stock_newest FINAL")
    assert source.ask(connection) is second, "a merge is no insert"
    monkeypatch.setattr(sources, "AGES_SECONDS", 0.0)
    assert source.ask(connection) is not second


def test_delays_are_from_the_end_of_a_second_to_its_receipt(
    client: Client, connection: Connection
) -> None:
    now = dt.datetime.now(dt.UTC)
    minute = now.replace(second=0, microsecond=0) - dt.timedelta(minutes=2)
    source = Delays()
    assert source.ask(connection) == []
    rows = [received(minute, at, delay) for at, delay in enumerate([0.2, 0.4, 0.6])]
    # An hour late: a fill, which says nothing about the stream.
    insert(client, [*rows, received(minute, 10, 3600), received(minute, 65, 2.0)])
    first, second = source.ask(connection)
    assert (first["minute"], first["rows"], first["p50"]) == (minute, 3, pytest.approx(0.4))
    assert 0.4 < first["p99"] <= 0.6
    assert (second["rows"], second["p50"]) == (1, pytest.approx(2.0))
    # A minute that is no longer asked for stays; a later row changes only its own minute.
    client.command("TRUNCATE TABLE market.stock_recent")
    insert(client, [replace(received(minute, 70, 4.0), symbol="B")])
    kept: list[dict[str, Any]] = source.ask(connection)
    assert [(row["minute"], row["rows"]) for row in kept] == [
        (minute, 3),
        (minute + dt.timedelta(minutes=1), 1),
    ]
    assert kept[1]["p50"] == pytest.approx(4.0)


def test_filled_days_are_those_with_minute_bars(client: Client, connection: Connection) -> None:
    days = [(dt.date(2024, 3, 8), "A"), (dt.date(2024, 3, 8), "B"), (dt.date(2024, 3, 11), "A")]
    for number, (day, symbol) in enumerate(days):
        client.insert(
            "market.ohlcv_1m_by_day",
            [(day, symbol, OPENING, OPENING + number * SECOND)],
            column_names=("trading_day", "symbol", "minute", "filled_at"),
        )
    assert _filled_days(connection) == [
        {
            "trading_day": day,
            "filled_at": OPENING + at * SECOND,
            "newest_minute": OPENING,
            "symbols": symbols,
        }
        for day, at, symbols in ((dt.date(2024, 3, 8), 1, 2), (dt.date(2024, 3, 11), 2, 1))
    ]


@pytest.mark.usefixtures("clock")
def test_rates_are_of_today_and_the_trading_day_before(
    client: Client, connection: Connection
) -> None:
    today = NYSE.day_of(OPENING)
    before = NYSE.previous_day(today)
    for day, symbol, minute, seconds in (
        (today, "A", OPENING, 40),
        (today, "B", OPENING, 20),
        (before, "A", OPENING - DAY, 7),
        (NYSE.previous_day(before), "A", OPENING - 9 * DAY, 1),
    ):
        client.insert(
            "market.ohlcv_1m_by_day",
            [(day, symbol, minute, seconds, OPENING)],
            column_names=("trading_day", "symbol", "minute", "seconds", "filled_at"),
        )
    rows = _rates(connection)
    assert [(row["is_today"], row["rows"]) for row in rows] == [(False, 7), (True, 60)]


def follow(client: Client, version: str, *channels: str, at: float = 0.0) -> None:
    """Store a set, and a heartbeat of a producer that follows it."""
    client.insert(
        "market.subscription_sets",
        [(version, OPENING, list(channels))],
        column_names=("version", "accepted_at", "channels"),
    )
    [beat] = beats(at, at)
    heartbeat_history.store(client, [structs.replace(beat, subscriptions_version=version)])


def fill_minutes(client: Client, *rows: tuple[str, int, int]) -> None:
    """One-minute bars of today: symbol, minutes after the opening, seconds with trades."""
    today = NYSE.day_of(OPENING)
    client.insert(
        "market.ohlcv_1m_by_day",
        [
            (today, symbol, OPENING + minute * 60 * SECOND, seconds, OPENING + 900 * SECOND)
            for symbol, minute, seconds in rows
        ],
        column_names=("trading_day", "symbol", "minute", "seconds", "filled_at"),
    )


@pytest.mark.usefixtures("clock")
def test_activity_is_when_each_subscribed_channel_traded(
    client: Client, connection: Connection
) -> None:
    follow(client, "old", "A.B", "A.GONE", at=-300)
    follow(client, "new", "A.B", "A.AAPL", "A.QUIET")
    assert _activity(connection) == Activity(), "there is no bar yet"
    fill_minutes(client, ("AAPL", 0, 9), ("AAPL", 4, 9), ("AAPL", 11, 1), ("B", 5, 60), ("C", 9, 9))
    assert _activity(connection) == Activity(
        {"A.QUIET": (), "A.B": [minutes(5)], "A.AAPL": [minutes(0), minutes(10)]},
        {"new": {"A.B", "A.AAPL", "A.QUIET"}, "old": {"A.B", "A.GONE"}},
        3,
        minutes(11),
    )
    # The bars are as old as their filling, even where rows had come further.
    fill_minutes(client, ("AAPL", 15, 9))
    assert _activity(connection).known_until == minutes(15) - 20 * SECOND


def minutes(after: float) -> dt.datetime:
    return OPENING + after * 60 * SECOND


@pytest.mark.usefixtures("clock")
def test_activity_of_the_whole_market_is_that_of_its_busiest_symbols(
    client: Client, connection: Connection
) -> None:
    follow(client, "all", "A.*")
    fill_minutes(client, *[(f"S{number:02}", 0, number + 1) for number in range(35)])
    activity = _activity(connection)
    busiest = [f"A.S{number:02}" for number in range(34, 4, -1)]
    assert (list(activity.intervals), activity.silent) == (busiest, [])
    assert (activity.channel_count, activity.sets) == (35, {"all": {"A.*"}})


def test_usage_is_what_today_has_used_so_far(
    client: Client, connection: Connection, clock: dict[str, dt.datetime]
) -> None:
    """A producer that started before the day counts from what it had read then."""
    session = NYSE.session(NYSE.day_of(OPENING))
    assert session is not None
    old, new = beats(0, 20), beats(30, 50, "host:2")
    for number, beat in enumerate(old):
        beat.counters = {"read": 1000 + 10 * number}
    for number, beat in enumerate(new):
        beat.started_at, beat.counters = beat.sent_at, {"read": 5 * (number + 1)}
    heartbeat_history.store(client, old + new)
    start_ms = round(1000 * OPENING.timestamp())
    insert(
        client,
        [replace(received(OPENING, 0, 1.0), start_ms=start_ms + 1000 * at) for at in range(3)],
    )
    (used,) = _usage(connection)
    assert (used["events"], used["rows"]) == (20 + 15, 3)
    assert 0 < used["day_bytes"] <= used["all_bytes"]
    whole = session.extended_close - session.extended_open
    assert used["passed"] == pytest.approx((clock["now"] - session.extended_open) / whole)


def test_each_program_has_its_newest_lag_and_its_percentiles(
    client: Client, connection: Connection
) -> None:
    now = dt.datetime.now(dt.UTC)

    def beat(program: ProgramName, age: int, lag: int | None) -> Heartbeat:
        sent = round(1000 * (now - age * SECOND).timestamp())
        return Heartbeat(program, "host:1", "streaming", 1, sent_at=sent, rate=12_000.0, lag=lag)

    sink = [beat("sink", age, age) for age in range(100)]
    old = beat("archiver", 90_000, 5)
    heartbeat_history.store(client, [*sink, beat("producer", 3, None), old])
    producer, reader = _lags(connection)
    assert (producer["program"], producer["lag"], producer["lag_p99"]) == ("producer", None, None)
    assert (reader["program"], reader["lag"], reader["lag_p50"]) == ("sink", 0, 50)
    assert reader["lag_p99"] == 99
    assert "<td>streaming</td><td>12,000/s</td><td></td>" in lags_html([producer])
    assert "<td>0</td><td>50</td><td>99</td>" in lags_html([reader])


def test_the_lag_of_copies_that_work_side_by_side_is_their_sum(
    client: Client, connection: Connection
) -> None:
    now = round(1000 * dt.datetime.now(dt.UTC).timestamp())
    copies = [
        Heartbeat("sink", "host:1:1", "streaming", 1, now - 9_000, rate=10.0, lag=5_000),
        Heartbeat("sink", "host:2:1", "streaming", 1, now - 1_000, rate=2.0, lag=0),
        Heartbeat("sink", "host:3:1", "stopped", 1, now - 2_000, rate=1.0, lag=7),
        Heartbeat("sink", "host:4:1", "streaming", 1, now - 60_000, rate=1.0, lag=9),
    ]
    leaders = [
        Heartbeat("producer", f"host:{n}:1", "streaming", 1, now - 1_000 * n, rate=n, lag=n)
        for n in (1, 2)
    ]
    heartbeat_history.store(client, [*copies, *leaders])
    producer, sink = _lags(connection)
    assert (sink["rate"], sink["lag"], sink["state"]) == (12.0, 5_000, "streaming")
    assert (producer["rate"], producer["lag"]) == (1.0, 1)
