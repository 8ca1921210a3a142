"""`polygon_assets.market`: every answer equals the same one computed in plain Python."""

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from polygon_assets import market
from polygon_assets.market import Connection, MarketError
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.serving.seconds import (
    OPENING_MS,
    Second,
    insert,
    insert_in_disorder,
    newest,
    random_seconds,
)

OPENING = dt.datetime.fromtimestamp(OPENING_MS / 1000, dt.UTC)
DAY = dt.date(2024, 3, 8)
HOUR, SECOND = dt.timedelta(hours=1), dt.timedelta(seconds=1)


def one(symbol: str = "A", at: float = 0.0, **changes: Any) -> Second:
    """A second of a symbol, so many seconds after the opening; received a second later."""
    start = OPENING_MS + round(at * 1000)
    plain = Second(symbol, start, (start + 2_000) * 1000, 1.0, 3.0, 0.5, 2.0, Decimal(5), 1.5)
    return replace(plain, **changes)


def expected_bars(seconds: Sequence[Second], width: int) -> list[dict[str, Any]]:
    groups: dict[int, list[Second]] = defaultdict(list)
    for second in sorted(newest(seconds).values(), key=lambda second: second.start_ms):
        groups[second.start_ms // (1000 * width) * width].append(second)
    return [
        {
            "start": dt.datetime.fromtimestamp(start, dt.UTC),
            "open": inside[0].open,
            "high": max(second.high for second in inside),
            "low": min(second.low for second in inside),
            "close": inside[-1].close,
            "volume": sum(second.volume for second in inside),
            "seconds": len(inside),
        }
        for start, inside in groups.items()
    ]


@pytest.mark.parametrize("every", market.EVERY)
def test_bars_of_every_width_are_the_sums_of_the_newest_versions(
    connection: Connection, every: str
) -> None:
    rng = random.Random(every)
    seconds = random_seconds(rng, ("A", "B"), OPENING_MS, 400)
    insert_in_disorder(connection.client, rng, seconds)
    rows = market.bars("A", OPENING, OPENING + 2 * HOUR, every, connection=connection).to_pylist()
    expected = expected_bars(
        [second for second in seconds if second.symbol == "A"], market.EVERY[every]
    )
    assert [{name: row[name] for name in expected[0]} for row in rows] == expected
    assert {row["symbol"] for row in rows} == {"A"}


def test_the_first_and_the_last_bar_are_whole(connection: Connection) -> None:
    insert(connection.client, [one(at=at, volume=Decimal(1)) for at in range(180)])
    start, end = OPENING + 59.5 * SECOND, OPENING + 60.5 * SECOND
    rows = market.bars("A", start, end, "1m", connection=connection).to_pylist()
    assert [(bar["start"], bar["volume"]) for bar in rows] == [
        (OPENING, Decimal(60)),
        (OPENING + 60 * SECOND, Decimal(60)),
    ]


def test_a_bar_has_the_vwap_of_the_seconds_that_have_one(connection: Connection) -> None:
    insert(connection.client, [one(), one(at=1, vwap=None), one(at=2, volume=Decimal(15), vwap=3)])
    [bar] = market.bars("A", OPENING, OPENING + HOUR, "1m", connection=connection).to_pylist()
    assert bar["vwap"] == pytest.approx((5 * 1.5 + 15 * 3) / 20)


def test_a_bar_is_as_settled_as_its_least_settled_second(connection: Connection) -> None:
    def finality() -> object:
        [bar] = market.bars("A", OPENING, OPENING + HOUR, "1m", connection=connection).to_pylist()
        return bar["finality"], bar["revisions"]

    gap = GapEntry("g", OPENING, OPENING + 3 * SECOND, "crash", ("A.*",), "verified")
    insert(connection.client, [one(), one(at=1)])
    assert finality() == ("final", 0)
    gap_ledger.store(connection.client, [gap], dt.datetime.now(dt.UTC))
    assert finality() == ("verified", 0)
    insert(connection.client, [one(at=5), one(at=5, close=2.5, received_us=OPENING_MS * 1000 + 9)])
    assert finality() == ("revised", 1)
    later = replace(gap, gap_id="h", since=OPENING + 5 * SECOND, until=OPENING + 9 * SECOND)
    gap_ledger.store(connection.client, [replace(later, state="open")], dt.datetime.now(dt.UTC))
    assert finality() == ("provisional", 1)


def test_expired_versions_leave_the_bar_and_no_finality(connection: Connection) -> None:
    insert(connection.client, [one()])
    connection.client.command("TRUNCATE TABLE market.stock_versions")
    [bar] = market.bars("A", OPENING, OPENING + HOUR, connection=connection).to_pylist()
    assert (bar["close"], bar["finality"]) == (2.0, None)


def test_seconds_that_a_fill_brought_are_counted(connection: Connection) -> None:
    insert(connection.client, [one(), one(at=1)])
    connection.client.command(
        "INSERT INTO market.stock_aggregates SELECT * REPLACE ('rest' AS source, "
        "received_at + INTERVAL 1 HOUR AS received_at) FROM market.stock_aggregates LIMIT 1"
    )
    [bar] = market.bars("A", OPENING, OPENING + HOUR, "1m", connection=connection).to_pylist()
    assert (bar["seconds"], bar["seconds_from_rest"]) == (2, 1)


def test_a_bar_of_a_day_has_regular_prices_and_the_whole_days_volume(
    connection: Connection,
) -> None:
    close = 6.5 * 3600
    insert(
        connection.client,
        [
            one(at=-1, open=9.0, high=9.9, low=0.1),
            one(at=0, open=1.1),
            one(at=close - 1, close=1.9),
            one(at=close, close=9.0),
            one(at=24 * 3600, open=7.0),  # a Saturday: no session
        ],
    )
    monday = 72 * 3600 - 3600  # summer time begins on Sunday
    insert(connection.client, [one(at=monday, open=4.0, high=4.5, low=4.0)])
    week = market.bars(
        "A", OPENING - 8 * HOUR, OPENING + 96 * HOUR, "1d", connection=connection
    ).to_pylist()
    shown = ("start", "open", "high", "low", "close", "volume", "seconds")
    assert [tuple(bar[name] for name in shown) for bar in week] == [
        (OPENING, 1.1, 3.0, 0.5, 1.9, Decimal(20), 4),
        (OPENING + monday * SECOND, 4.0, 4.5, 4.0, 2.0, Decimal(5), 1),
    ]
    [whole] = market.day(DAY, connection=connection).to_pylist()
    assert (whole["open"], whole["close"], whole["volume"]) == (1.1, 1.9, Decimal(20))


def test_an_early_close_ends_the_regular_hours(connection: Connection) -> None:
    half_day = dt.datetime(2026, 11, 27, 13, tzinfo=NEW_YORK)
    at = half_day.timestamp() - OPENING_MS / 1000
    insert(connection.client, [one(at=at - 1, close=1.2), one(at=at, close=8.0)])
    [bar] = market.bars(
        "A", half_day - 8 * HOUR, half_day + 8 * HOUR, "1d", connection=connection
    ).to_pylist()
    assert (bar["close"], bar["volume"]) == (1.2, Decimal(10))


def test_coverage_is_in_intervals_of_equal_status(connection: Connection) -> None:
    insert(connection.client, [one(at=2), one(at=3), one(at=5)])
    gap = GapEntry("g", OPENING, OPENING + 5 * SECOND, "crash", ("A.*",), "verified")
    gap_ledger.store(connection.client, [gap], dt.datetime.now(dt.UTC))
    rows = market.coverage("A", DAY, connection=connection).to_pylist()
    around = [row for row in rows if row["since"] < OPENING + 9 * SECOND][1:]
    assert [(row["status"], (row["since"] - OPENING).seconds, row["seconds"]) for row in around][
        :4
    ] == [("quiet", 0, 2), ("traded", 2, 2), ("quiet", 4, 1), ("traded", 5, 1)]
    assert sum(row["seconds"] for row in rows) == 16 * 3600
    assert all(first["until"] == then["since"] for first, then in pairwise(rows))


def test_the_newest_prices_are_those_of_the_chosen_symbols(connection: Connection) -> None:
    insert(connection.client, [one("A"), one("A", at=4, close=2.5), one("B")])
    assert market.last(connection=connection)["symbol"].to_pylist() == ["A", "B"]
    [row] = market.last(["A"], connection=connection).to_pylist()
    assert (row["close"], row["last_timestamp"]) == (2.5, OPENING + 4 * SECOND)


def test_movers_are_ordered_by_the_size_of_the_change(connection: Connection) -> None:
    now_ms = round(dt.datetime.now(dt.UTC).timestamp()) * 1000 - 3_000
    at = (now_ms - OPENING_MS) / 1000
    for symbol, close in (("UP", 2.2), ("DOWN", 1.0), ("FLAT", 2.0)):
        insert(connection.client, [one(symbol, at=at - 20), one(symbol, at=at, close=close)])
    rows = market.movers(2, connection=connection).to_pylist()
    assert [(row["symbol"], round(row["percentage_change_10s"])) for row in rows] == [
        ("DOWN", -50),
        ("UP", 10),
    ]


def test_types_are_exact_and_aware(connection: Connection) -> None:
    insert(connection.client, [one(volume=Decimal("0.000001"))])
    answer = market.bars("A", OPENING, OPENING + HOUR, connection=connection)
    assert answer.schema.field("start").type == pa.timestamp("ms", "UTC")
    assert answer["volume"].to_pylist() == [Decimal("0.000001")]
    assert answer.to_pandas()["start"].dt.tz is not None


def test_the_ledger_lists_every_gap(connection: Connection) -> None:
    gap_ledger.store(
        connection.client,
        [GapEntry("g", OPENING, OPENING + SECOND, "crash", ("A.A", "A.B"))],
        OPENING,
    )
    [row] = market.gaps(connection=connection).to_pylist()
    assert (row["since"], row["state"], row["channels"]) == (OPENING, "open", ["A.A", "A.B"])


@pytest.mark.parametrize("day", [dt.date(2024, 3, 9), dt.date(2024, 12, 25)])
def test_a_day_without_a_session_is_refused(connection: Connection, day: dt.date) -> None:
    with pytest.raises(MarketError, match=f"{day} has no session"):
        market.day(day, connection=connection)
    with pytest.raises(MarketError, match=f"{day} has no session"):
        market.coverage("A", day, connection=connection)


def test_an_unknown_width_names_the_known_ones(connection: Connection) -> None:
    with pytest.raises(MarketError, match=r"bars '7s': use 1s, 5s, .*1h, 1d"):
        market.bars("A", OPENING, OPENING + HOUR, "7s", connection=connection)


def test_a_time_without_a_zone_is_refused(connection: Connection) -> None:
    with pytest.raises(MarketError, match="has no time zone"):
        market.bars("A", OPENING.replace(tzinfo=None), OPENING + HOUR, connection=connection)


def test_a_server_that_is_away_is_named(settings: Settings) -> None:
    away = settings.model_copy(update={"clickhouse_port": 9})
    with pytest.raises(MarketError, match=r"ClickHouse at .*:9"), market.connect(away):
        pass
