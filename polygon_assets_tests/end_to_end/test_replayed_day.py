"""A whole trading day from the exchange's socket to ClickHouse's views, with a crash at noon.

The rows are compared with the simulated market's truth and, as the asset stream_vs_batch does it,
with the vendor's daily bars in Snowflake.
"""

import csv
import datetime as dt
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from decimal import Decimal
from importlib import resources
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.batch.airbyte.connector import streams
from polygon_assets.batch.day_comparison import compare_day
from polygon_assets.batch.marts import MARTS, build
from polygon_assets.batch.raw.daily_records import daily_open_close, grouped_daily
from polygon_assets.batch.raw.table_writer import merge
from polygon_assets.clients import archive_store, snowflake, subscription_store
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.events.validation import exact_decimal
from polygon_assets.inspection.streams import positions
from polygon_assets.local.exchange.market.lateness import LONGEST_DELAY, Rates
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.launcher.servers import embedded_servers
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_calendar import MarketCalendar, Session
from polygon_assets.messages import RawAggregate
from polygon_assets.rebuild.day import rebuilt
from polygon_assets.serving.queries import load
from polygon_assets.settings import Settings
from polygon_assets.topics import (
    ARCHIVER_GROUP,
    FILTER_GROUP,
    FILTERED_TOPIC,
    RAW_TOPIC,
    SINK_GROUP,
)
from polygon_assets_tests import market_bars
from polygon_assets_tests.processes.harness import (
    Exchange,
    Program,
    Programs,
    beat,
    connect_clickhouse,
    dead_letters,
    eventually,
    gaps,
    put_in_force,
)
from polygon_assets_tests.processes.market_truth import Key, Truth

DAY = dt.date(2026, 11, 20)
SPEED = 2000
TICKERS, ACTIVITY, FRACTIONS = 60, 0.2, 0.1
RATES = Rates(correction=0.02, duplicate=0.01)
EXCHANGE_OPTIONS = (
    *("--calendar", "NYSE", "--replay", str(DAY), "--replay-from", "00:00", "--speed", str(SPEED)),
    *("--tickers", str(TICKERS), "--activity", str(ACTIVITY)),
    *("--fraction-rate", str(FRACTIONS), "--buffer-bytes", str(1 << 30)),
    *("--correction-rate", str(RATES.correction), "--duplicate-rate", str(RATES.duplicate)),
)
SYMBOLS_STREAMED = 50
SOON_ARCHIVED = {"ARCHIVE_MAX_SECONDS": "2"}

Seconds = dict[Key, RawAggregate]
"""The final version of every second with trades."""


def sample_channels() -> list[str]:
    """The first channels of the sample subscriptions."""
    text = resources.files("polygon_assets.local").joinpath("sample_subscriptions.csv").read_text()
    return [row["channel"] for row in csv.DictReader(text.splitlines())][:SYMBOLS_STREAMED]


@pytest.mark.long
def test_a_whole_day_with_corrections_and_crashes_is_in_clickhouse_exactly(
    stack: Stack, programs: Programs
) -> None:
    symbols = [channel.removeprefix("A.") for channel in sample_channels()]
    put_in_force(stack.settings(), *sample_channels(), accepted_at="2020-01-01T00:00:00Z")
    consumers = [programs.start(name, **SOON_ARCHIVED) for name in ("filter", "sink", "archiver")]
    for program in consumers:
        program.wait_for_log(f"{program.name} streaming")
    exchange, producer = start_replay(stack, programs)
    session = MarketCalendar("NYSE").session(DAY)
    assert session is not None
    assert exchange.stats()["exchange_time"] < session.extended_open.timestamp(), (
        "the replayed day began before the channels were confirmed: lower SPEED"
    )

    crash_in_the_middle(exchange, programs, consumers, session)
    settings = stack.settings()
    wait_until_everything_arrived(settings, exchange, producer, session)

    market = Market(
        tickers=TICKERS, calendar=MarketCalendar("NYSE"), activity=ACTIVITY, fraction_rate=FRACTIONS
    )
    truth = Truth(
        market,
        RATES,
        int(session.extended_open.timestamp()),
        int(session.extended_close.timestamp()),
    )
    seconds = {
        (symbol, second.start_timestamp): second
        for symbol in symbols
        for second in truth.final(symbol)
    }
    client = connect_clickhouse(settings)
    assert_rows_are_the_truth(client, seconds)
    assert_the_archive_rebuilds_the_day(settings, client, len(seconds))
    assert_deltas_are_the_truth(client, symbols, seconds, session)
    assert_minutes_are_the_truth(client, market, symbols, seconds, session)
    assert_the_vendors_daily_bars_agree(settings, symbols)
    assert dead_letters(settings) == []
    assert gaps(settings) == []
    assert producer.stop() == 0


def start_replay(stack: Stack, programs: Programs) -> tuple[Exchange, Program]:
    """Start the exchange and the producer; returns when every channel is confirmed."""
    [server] = [
        server for server in embedded_servers(EXCHANGE_OPTIONS) if server.name == "exchange"
    ]
    stack.add(server)
    exchange = Exchange(stack.ports["exchange"])
    producer = programs.start("producer", **stack.environment())
    producer.until(
        lambda: any(
            len(connection["channels"]) == SYMBOLS_STREAMED for connection in exchange.connections()
        ),
        "every channel is confirmed",
    )
    return exchange, producer


def crash_in_the_middle(
    exchange: Exchange, programs: Programs, consumers: list[Program], session: Session
) -> None:
    """Kill filter, sink and archiver at about noon, then start them again."""
    noon = (session.regular_open + (session.regular_close - session.regular_open) / 2).timestamp()
    eventually(lambda: exchange.stats()["exchange_time"] > noon, "it is noon")
    for program in consumers:
        assert program.is_running(), program.log
        program.kill()
        programs.start(program.name, **SOON_ARCHIVED)


def wait_until_everything_arrived(
    settings: Settings, exchange: Exchange, producer: Program, session: Session
) -> None:
    """Wait until the last correction has been sent and every topic is processed to its end."""
    last = session.extended_close.timestamp() + LONGEST_DELAY
    producer.until(
        lambda: exchange.stats()["feeds"]["/stocks"]["newest_second"] > last,
        "the exchange has sent everything",
    )
    [connection] = exchange.connections()
    sent = connection["sent"]["events"]

    def has_forwarded_everything() -> bool:
        last_beat = beat(settings, "producer")
        return (
            last_beat is not None
            and last_beat.counters.get("forwarded") == sent
            and last_beat.lag == 0
        )

    producer.until(has_forwarded_everything, f"the producer has forwarded {sent} events")
    eventually(
        lambda: positions(settings, FILTER_GROUP, RAW_TOPIC).lag == 0,
        "the filter has processed everything",
    )
    eventually(
        lambda: positions(settings, SINK_GROUP, FILTERED_TOPIC).lag == 0,
        "the sink has processed everything",
    )
    eventually(
        lambda: positions(settings, ARCHIVER_GROUP, RAW_TOPIC).lag == 0,
        "the archiver has processed everything",
    )


def assert_rows_are_the_truth(client: Client, seconds: Seconds) -> None:
    """Assert that the table has every row of the truth and no other, field by field."""
    query = """
        SELECT symbol, toUnixTimestamp64Milli(start_timestamp) AS start,
            toUnixTimestamp64Milli(end_timestamp), open, high, low, close, toString(volume), vwap,
            toString(accumulated_volume), official_open_price, aggregate_vwap, average_size, otc,
            source
        FROM market.stock_aggregates FINAL
    """
    rows = {(row[0], row[1]): tuple(row) for row in client.query(query).result_rows}
    assert_same(rows, {key: row_of(second) for key, second in seconds.items()})


def assert_the_archive_rebuilds_the_day(settings: Settings, client: Client, rows: int) -> None:
    """Assert that the archive gives the same rows, and that the newest versions are these, too."""
    store = archive_store.connect(settings)
    history = subscription_store.connect(settings).history()
    with rebuilt(client, store, DAY, history) as day:
        assert day.uncompared == []
        assert day.compare().rows == {"equal": rows, "missing": 0, "surplus": 0, "different": 0}
    newest = """
        SELECT count() FROM (
            SELECT symbol, start_timestamp, argMax(cityHash64(tuple(*)), received_at) AS content
            FROM market.stock_versions GROUP BY symbol, start_timestamp
        ) AS version
        INNER JOIN (
            SELECT symbol, start_timestamp, cityHash64(tuple(*)) AS content
            FROM market.stock_aggregates FINAL
        ) AS stored USING (symbol, start_timestamp, content)
    """
    assert client.query(newest).result_rows == [(rows,)]


def row_of(second: RawAggregate) -> tuple[Any, ...]:
    return (
        *(second.symbol, second.start_timestamp, second.end_timestamp),
        *(
            second.open_price,
            second.high,
            second.low,
            second.close_price,
            volume_of(second),
            second.vwap,
        ),
        exact_decimal(second.decimal_accumulated_volume, second.accumulated_volume),
        *(
            second.official_open_price,
            second.aggregate_vwap,
            second.average_size,
            second.otc,
            "websocket",
        ),
    )


def volume_of(second: RawAggregate) -> str:
    """The exact volume as ClickHouse writes a decimal: without trailing zeros."""
    return exact_decimal(second.decimal_volume, second.volume) or ""


def assert_deltas_are_the_truth(
    client: Client, symbols: Iterable[str], seconds: Seconds, session: Session
) -> None:
    """Assert the view's rule: the last close at or before 10 s earlier, if not over 60 s old."""
    by_symbol: dict[str, list[int]] = defaultdict(list)
    for symbol, start in seconds:
        by_symbol[symbol].append(start)
    window = {"from": session.extended_open, "to": session.extended_close}
    for symbol in symbols:
        starts = sorted(by_symbol[symbol])
        closes = [seconds[symbol, start].close_price for start in starts]
        expected = {start: delta_of(starts, closes, number) for number, start in enumerate(starts)}
        rows = client.query(
            load("delta_10s"), parameters={"symbol": symbol, **window}, tz_mode="aware"
        ).result_rows
        deltas = {round(row[1].timestamp() * 1000): (row[2], row[4], row[5]) for row in rows}
        assert_same(deltas, expected)
        assert all(row[6] is None or math.isclose(row[6], 100 * row[5] / row[4]) for row in rows)


def delta_of(
    starts: list[int], closes: list[float], number: int
) -> tuple[float, float | None, float | None]:
    """Close, price 10 s ago, and the difference."""
    place = bisect_right(starts, starts[number] - 10_000) - 1
    if place < 0 or starts[place] < starts[number] - 60_000:
        return closes[number], None, None
    return closes[number], closes[place], closes[number] - closes[place]


def assert_minutes_are_the_truth(
    client: Client, market: Market, symbols: Iterable[str], seconds: Seconds, session: Session
) -> None:
    """Compare view and filled table with the exchange's minutes, the VWAP also with the seconds.

    The seconds' prices are rounded, so their VWAP differs a little from the exchange's.
    """
    sums: dict[Key, list[RawAggregate]] = defaultdict(list)
    for (symbol, start), second in seconds.items():
        sums[symbol, start // 60_000 * 60_000].append(second)
    expected = dict(minutes_of(market, symbols, sums))
    client.command(load("fill_ohlcv_1m_day"), parameters={"day": DAY})
    columns = (
        "symbol, toUnixTimestamp64Milli(toDateTime64(minute, 3, 'UTC')), "
        "open, high, low, close, toString(volume), vwap, seconds"
    )
    window = {"from": session.extended_open, "to": session.extended_close}
    view = (
        f"SELECT {columns} FROM market.ohlcv_1m("
        "from_ts = {from:DateTime64(3, 'UTC')}, to_ts = {to:DateTime64(3, 'UTC')})"
    )
    table = f"SELECT {columns} FROM market.ohlcv_1m_by_day FINAL WHERE trading_day = {{day:Date}}"
    for query, parameters in ((view, window), (table, {"day": DAY})):
        rows = {
            (row[0], row[1]): tuple(row[2:])
            for row in client.query(query, parameters=parameters).result_rows
        }
        assert_same(
            {key: (*row[:5], row[6]) for key, row in rows.items()},
            {key: (*row[:5], row[7]) for key, row in expected.items()},
        )
        assert all(
            math.isclose(row[5], expected[key][5], abs_tol=1e-4) for key, row in rows.items()
        )
        assert all(
            math.isclose(row[5], expected[key][6], rel_tol=1e-9) for key, row in rows.items()
        )


def assert_the_vendors_daily_bars_agree(settings: Settings, symbols: Iterable[str]) -> None:
    """Assert that every symbol's prices and volume equal the vendor's to the last digit."""
    with closing(snowflake.connect(settings)) as connection:
        bars = grouped_daily(PolygonRest(settings), DAY)
        assert (
            merge(connection, streams()["grouped_daily"], bars, dt.datetime.now(dt.UTC)).inserted
            == len(bars)
            > 0
        )
        merge(
            connection,
            streams()["daily_open_close"],
            daily_open_close(PolygonRest(settings), DAY, ["AAPL"]),
            dt.datetime.now(dt.UTC),
        )
        assert build(connection, MARTS["fact_daily_trading"], DAY) == len(bars)
    compared = compare_day(settings, MarketCalendar("NYSE"), DAY)
    assert {comparison.symbol for comparison in compared.symbols} == set(symbols)
    assert compared.different == []


def minutes_of(
    market: Market, symbols: Iterable[str], sums: dict[Key, list[RawAggregate]]
) -> Iterator[tuple[Key, tuple[Any, ...]]]:
    """Prices, volume, the exchange's VWAP, the seconds' VWAP and second count of each minute."""
    for symbol in symbols:
        for bar in market_bars.minutes(market, symbol, DAY):
            key = symbol, int(bar["start_ms"])
            volumes = [Decimal(volume_of(second)) for second in sums[key]]
            notional = sum(
                float(volume) * (second.vwap or 0)
                for volume, second in zip(volumes, sums[key], strict=True)
            )
            prices = [float(bar[name]) for name in ("open", "high", "low", "close")]
            yield (
                key,
                (
                    *prices,
                    without_trailing_zeros(sum(volumes, Decimal(0))),
                    float(bar["vwap"]),
                    notional / float(sum(volumes)),
                    len(volumes),
                ),
            )


def without_trailing_zeros(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def assert_same(stored: dict[Any, Any], expected: dict[Any, Any]) -> None:
    """Assert equality; the message shows the first differences instead of half a million rows."""
    missing, surplus = expected.keys() - stored.keys(), stored.keys() - expected.keys()
    other = [key for key in expected.keys() & stored.keys() if expected[key] != stored[key]]
    shown = [(key, stored[key], expected[key]) for key in sorted(other)[:3]]
    assert not missing, f"{len(missing):,} of {len(expected):,} are missing: {sorted(missing)[:3]}"
    assert not surplus, f"{len(surplus):,} are surplus: {sorted(surplus)[:3]}"
    assert not other, f"{len(other):,} of {len(expected):,} are different: {shown}"
