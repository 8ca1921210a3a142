"""The table of aggregates: types, the winning version of a second, partitions, the last row."""

import datetime as dt
import itertools
import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from polygon_assets.messages import FilteredAggregate, encode
from polygon_assets.serving.migrate import migrate, read_migrations
from polygon_assets.serving.queries import load
from polygon_assets_tests.unit.serving.seconds import (
    OPENING_MS,
    insert,
    insert_in_disorder,
    newest,
    random_seconds,
)

MESSAGE = FilteredAggregate(
    symbol="BRK.B",
    start_timestamp=1_709_908_200_123,
    end_timestamp=1_709_908_201_123,
    open=400.1,
    high=400.4,
    low=400.05,
    close=400.2,
    volume="999999999999.123456",
    vwap=400.15,
    accumulated_volume="12.5",
    official_open_price=None,
    aggregate_vwap=400.0,
    average_size=33.5,
    otc=True,
    received_at=1_709_908_201_345_678,
    source="rest",
    readable_timestamp="2024-03-08T14:30:00.123Z",
)


def test_a_message_of_the_topic_loads_unchanged(client: Client) -> None:
    client.raw_insert(
        "market.stock_aggregates_ingest", insert_block=encode(MESSAGE), fmt="JSONEachRow"
    )
    row = client.query(
        "SELECT *, readable_timestamp FROM market.stock_aggregates", tz_mode="aware"
    ).first_item
    assert row == {
        "symbol": "BRK.B",
        "start_timestamp": dt.datetime(2024, 3, 8, 14, 30, 0, 123_000, dt.UTC),
        "end_timestamp": dt.datetime(2024, 3, 8, 14, 30, 1, 123_000, dt.UTC),
        "open": 400.1,
        "high": 400.4,
        "low": 400.05,
        "close": 400.2,
        "volume": Decimal("999999999999.123456"),
        "vwap": 400.15,
        "accumulated_volume": Decimal("12.500000"),
        "official_open_price": None,
        "aggregate_vwap": 400.0,
        "average_size": 33.5,
        "otc": True,
        "received_at": dt.datetime(2024, 3, 8, 14, 30, 1, 345_678, dt.UTC),
        "source": "rest",
        "readable_timestamp": "2024-03-08T14:30:00.123Z",
    }


def test_milliseconds_never_land_in_the_year_9999(client: Client) -> None:
    """ClickHouse 26.7 and later read a bare JSON number as seconds; the table must refuse it."""
    block = b'{"symbol":"X","start_timestamp":1709908200123,"received_at":"2024-03-08 14:30:00"}'
    with pytest.raises(DatabaseError, match="plausible_start"):
        client.raw_insert("market.stock_aggregates", insert_block=block, fmt="JSONEachRow")
    assert client.command("SELECT count() FROM market.stock_aggregates") == 0


def test_the_newest_version_of_a_second_wins_in_any_order_of_arrival(client: Client) -> None:
    rng = random.Random(1)
    seconds = random_seconds(rng, ("AAPL", "MSFT"), OPENING_MS, 200)
    insert_in_disorder(client, rng, seconds)
    rows = client.query(
        "SELECT symbol, toUnixTimestamp64Milli(start_timestamp), close, volume "
        "FROM market.stock_aggregates FINAL"
    ).result_rows
    assert {(symbol, start): (close, volume) for symbol, start, close, volume in rows} == {
        key: (second.close, second.volume) for key, second in newest(seconds).items()
    }


def test_replays_and_overlaps_change_nothing(client: Client) -> None:
    rng = random.Random(2)
    seconds = random_seconds(rng, ("AAPL", "TSLA"), OPENING_MS, 150)
    insert(client, seconds)
    fingerprint = (
        "SELECT count(), sum(cityHash64(*)), sum(volume) FROM market.stock_aggregates FINAL"
    )
    before = client.query(fingerprint).result_rows
    insert(client, seconds)
    insert(client, seconds[37:])
    insert_in_disorder(client, rng, seconds, repeats=1)
    assert client.query(fingerprint).result_rows == before


def test_a_session_is_one_partition_though_it_crosses_midnight_utc(client: Client) -> None:
    first, last = (
        dt.datetime(2024, 3, 8, 9, 0, tzinfo=dt.UTC),
        dt.datetime(2024, 3, 9, 0, 59, 59, tzinfo=dt.UTC),
    )
    for moment in (first, last):
        insert(
            client,
            random_seconds(random.Random(3), ("AAPL",), int(moment.timestamp() * 1000) - 1000, 1),
        )
    partitions = client.query(
        "SELECT DISTINCT partition FROM system.parts "
        "WHERE database = 'market' AND table = 'stock_aggregates' AND active"
    )
    assert partitions.result_rows == [("2024-03-08",)]


def test_a_day_years_ago_is_kept(client: Client) -> None:
    february_2004_ms = 1_078_000_000_000
    insert(client, random_seconds(random.Random(4), ("GE",), february_2004_ms, 50))
    client.command("OPTIMIZE TABLE market.stock_aggregates FINAL")
    assert client.command("SELECT count() > 0 FROM market.stock_aggregates") == 1


def message(
    start_ms: int, received_us: int, close: float, volume: str, accumulated: str | None
) -> bytes:
    changes: dict[str, Any] = {
        "start_timestamp": start_ms,
        "end_timestamp": start_ms + 1000,
        "received_at": received_us,
        "open": close,
        "high": close,
        "low": close,
        "close": close,
        "volume": volume,
        "accumulated_volume": accumulated,
    }
    return encode(msgspec.structs.replace(MESSAGE, **changes))


YESTERDAY_MS, TODAY_MS = OPENING_MS - 86_400_000, OPENING_MS
VERSIONS = (
    message(YESTERDAY_MS, YESTERDAY_MS * 1000, 9.0, "50", "5000000"),
    message(TODAY_MS, TODAY_MS * 1000, 10.0, "100", "100"),
    message(TODAY_MS, TODAY_MS * 1000 + 1, 10.5, "150", None),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("in_one_block", [True, False])
def test_the_last_row_of_a_symbol_is_the_newest_version_as_a_whole(
    client: Client, order: tuple[int, ...], in_one_block: bool
) -> None:
    values = [VERSIONS[place] for place in order]
    for block in [b"\n".join(values)] if in_one_block else values:
        client.raw_insert("market.stock_aggregates_ingest", insert_block=block, fmt="JSONEachRow")
    [last] = client.query(
        load("last_prices"), parameters={"symbols": []}, tz_mode="aware"
    ).named_results()
    assert int(last["last_timestamp"].timestamp() * 1000) == TODAY_MS
    assert (last["close"], last["volume"], last["accumulated_volume"]) == (
        10.5,
        Decimal("150.000000"),
        None,
    )
    rows = client.query(
        "SELECT close, volume, accumulated_volume FROM market.stock_aggregates FINAL "
        "ORDER BY start_timestamp"
    ).result_rows
    assert rows[-1] == (last["close"], last["volume"], last["accumulated_volume"])


def test_rows_from_before_the_last_row_was_one_state_keep_their_last_row(
    session_client: Client,
) -> None:
    migrations = read_migrations()
    place = [migration.name for migration in migrations].index("0006_stock_last_as_a_whole")
    now = dt.datetime.now(dt.UTC)
    session_client.command("DROP DATABASE market SYNC")
    migrate(session_client, now, migrations[:place])
    session_client.raw_insert(
        "market.stock_aggregates_ingest", insert_block=b"\n".join(VERSIONS), fmt="JSONEachRow"
    )
    migrate(session_client, now)
    [last] = session_client.query(
        load("last_prices"), parameters={"symbols": ["BRK.B"]}
    ).named_results()
    assert (last["close"], last["volume"], last["accumulated_volume"]) == (
        10.5,
        Decimal("150.000000"),
        None,
    )
