"""Every version of a second: stored once and in order, asked by moment, judged by finality."""

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.aggregate_columns import AGGREGATE_COLUMNS
from polygon_assets.market_calendar import REVISION_WINDOW
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry, GapState
from polygon_assets.serving.migrate import read_migrations
from polygon_assets.serving.queries import load
from polygon_assets.serving.version_retention import set_retention
from polygon_assets_tests.unit.serving.seconds import (
    OPENING_MS,
    Second,
    insert,
    insert_in_disorder,
    newest,
    random_seconds,
)

OPENING = dt.datetime.fromtimestamp(OPENING_MS / 1000, dt.UTC)
HOUR, SECOND = dt.timedelta(hours=1), dt.timedelta(seconds=1)
END_OF_WINDOW = SECOND + REVISION_WINDOW


@pytest.fixture(autouse=True)
def _kept_for_ever(session_client: Client) -> Iterator[None]:
    """The seconds of these tests were received years ago."""
    set_retention(session_client, 0)
    yield
    set_retention(session_client, 90)


def second(received_us: int, *, close: float = 2.0, vwap: float | None = 2.0) -> Second:
    """A version of the opening second of symbol A, received so many µs after the opening."""
    return Second(
        "A", OPENING_MS, OPENING_MS * 1000 + received_us, 1.0, 3.0, 1.0, close, Decimal(5), vwap
    )


def after_opening(microseconds: int) -> dt.datetime:
    return OPENING + dt.timedelta(microseconds=microseconds)


def known_at(client: Client, at: dt.datetime, symbol: str = "A") -> list[dict[str, Any]]:
    window = {"symbol": symbol, "at": at, "from": OPENING, "to": OPENING + HOUR}
    return list(client.query(load("as_known_at"), parameters=window).named_results())


def versions(client: Client, now: dt.datetime = OPENING + HOUR) -> list[dict[str, Any]]:
    window = {"symbol": "A", "now": now, "from": OPENING, "to": OPENING + HOUR}
    return list(client.query(load("versions"), parameters=window, tz_mode="aware").named_results())


def finality(client: Client, now: dt.datetime = OPENING + HOUR) -> str:
    [result] = {row["finality"] for row in versions(client, now)}
    return str(result)


def test_every_version_is_kept_once_and_in_the_order_of_receipt(client: Client) -> None:
    rng = random.Random(3)
    seconds = random_seconds(rng, ("A", "B", "C"), OPENING_MS, 300)
    insert_in_disorder(client, rng, seconds, repeats=3)
    rows = client.query(
        "SELECT symbol, toUnixTimestamp64Milli(start_timestamp), "
        "toUnixTimestamp64Micro(received_at), close, vwap FROM market.stock_versions FINAL "
        "ORDER BY symbol, start_timestamp, received_at"
    ).result_rows
    expected = sorted(
        (one.symbol, one.start_ms, one.received_us, one.close, one.vwap) for one in seconds
    )
    assert [tuple(row) for row in rows] == expected


def test_the_newest_versions_are_the_rows_of_the_table(client: Client) -> None:
    rng = random.Random(4)
    seconds = random_seconds(rng, ("A", "B"), OPENING_MS, 200)
    insert_in_disorder(client, rng, seconds)
    latest = {
        (row["symbol"], row["close"], row["vwap"])
        for symbol in ("A", "B")
        for row in known_at(client, OPENING + 24 * HOUR, symbol)
    }
    assert latest == {(one.symbol, one.close, one.vwap) for one in newest(seconds).values()}


def test_a_moment_sees_the_versions_received_until_then_to_the_microsecond(client: Client) -> None:
    insert(client, [second(7_000_000, close=2.5), second(3_000_000)])
    assert known_at(client, after_opening(2_999_999)) == []
    assert [row["close"] for row in known_at(client, after_opening(3_000_000))] == [2.0]
    assert [row["close"] for row in known_at(client, after_opening(6_999_999))] == [2.0]
    assert [row["close"] for row in known_at(client, after_opening(7_000_000))] == [2.5]


def test_a_null_stays_beside_the_prices_of_its_own_version(client: Client) -> None:
    insert(client, [second(1, vwap=2.0), second(2, close=2.5, vwap=None)])
    [row] = known_at(client, after_opening(2))
    assert (row["close"], row["vwap"]) == (2.5, None)


def test_a_second_is_provisional_until_its_revision_window_is_over(client: Client) -> None:
    insert(client, [second(1)])
    over = OPENING + END_OF_WINDOW
    assert finality(client, over - dt.timedelta(milliseconds=1)) == "provisional"
    assert finality(client, over) == "final"


def test_a_second_counts_as_revised_when_its_values_changed_and_not_when_sent_again(
    client: Client,
) -> None:
    insert(client, [second(1), second(2)])
    assert finality(client) == "final"
    insert(client, [second(3, vwap=None)])
    rows = versions(client)
    assert [(row["version"], row["versions"], row["revisions"]) for row in rows] == [
        (1, 3, 1),
        (2, 3, 1),
        (3, 3, 1),
    ]
    assert [row["received_at"] for row in rows] == [after_opening(n) for n in (1, 2, 3)]
    assert finality(client) == "revised"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("open", "provisional"),
        ("filling", "provisional"),
        ("filled", "provisional"),
        ("unfillable", "provisional"),
        ("waived", "final"),
        ("verified", "final"),
    ],
)
def test_a_gap_that_may_have_lost_a_correction_keeps_a_second_provisional(
    client: Client, state: GapState, expected: str
) -> None:
    insert(client, [second(1)])
    # It ends after the second's revision window and is compared from 15 minutes before its start.
    last = OPENING + END_OF_WINDOW - SECOND / 1000
    store(client, GapEntry("g", last, last + HOUR, "crash", ("A.A",), state))
    assert finality(client, OPENING + 2 * HOUR) == expected
    store(client, GapEntry("g", last + SECOND, last + HOUR, "crash", ("A.A",), state))
    assert finality(client, OPENING + 2 * HOUR) == "final"
    store(client, GapEntry("g", last, last + HOUR, "crash", ("A.B",), state))
    assert finality(client, OPENING + 2 * HOUR) == "final"


@pytest.mark.parametrize("channels", [(), ("A.*",), ("A.A", "A.B")])
@pytest.mark.parametrize("after", [dt.timedelta(0), REVISION_WINDOW])
def test_a_verified_gap_verifies_its_seconds_and_those_it_was_compared_from(
    client: Client, channels: Sequence[str], after: dt.timedelta
) -> None:
    insert(client, [second(1), second(2, close=2.5)])
    since = OPENING + after
    gap = GapEntry("g", since, since + SECOND, "crash", tuple(channels), "verified")
    store(client, gap)
    assert finality(client) == "verified"
    store(client, replace(gap, since=since + SECOND / 1000))
    assert finality(client) == ("verified" if not after else "revised")


def test_a_version_that_came_after_the_comparison_is_not_verified(client: Client) -> None:
    insert(client, [second(1)])
    store(client, GapEntry("g", OPENING, OPENING + SECOND, "crash", (), "verified"))
    insert(client, [second(2 * 3_600_000_000)])
    assert finality(client) == "final"


def store(client: Client, entry: GapEntry) -> None:
    """Store the entry as of an hour after the opening, without its earlier states."""
    client.command("TRUNCATE TABLE market.stream_gaps")
    gap_ledger.store(client, [entry], OPENING + HOUR)


def test_the_table_has_the_columns_of_the_aggregates(client: Client) -> None:
    rows = client.query("DESCRIBE TABLE market.stock_versions").named_results()
    assert [(row["name"], row["type"]) for row in rows] == [
        (column.name, column.table_type) for column in AGGREGATE_COLUMNS
    ]


def test_the_view_of_a_moment_has_the_columns_of_the_aggregates(client: Client) -> None:
    insert(client, [second(1)])
    view = (
        "SELECT * FROM market.stock_as_known_at(as_of = {t:DateTime64(6)}, "
        "from_ts = {from:DateTime64(3)}, to_ts = {t:DateTime64(3)})"
    )
    answer = client.query(view, parameters={"from": OPENING, "t": OPENING + HOUR})
    assert list(answer.column_names) == [column.name for column in AGGREGATE_COLUMNS]
    assert len(answer.result_rows) == 1


@pytest.mark.long
def test_the_migration_takes_over_what_the_table_holds_of_any_number_of_days(
    client: Client,
) -> None:
    seconds = [replace(second(1), start_ms=OPENING_MS + day * 86_400_000) for day in range(-150, 1)]
    for start in range(0, len(seconds), 50):
        insert(client, seconds[start : start + 50])
    client.command("TRUNCATE TABLE market.stock_versions")
    [migration] = [one for one in read_migrations() if one.name == "0011_stock_versions"]
    for statement in migration.statements * 2:
        client.command(statement)
    assert client.query("SELECT count() FROM market.stock_versions FINAL").result_rows == [(151,)]


def test_versions_expire_by_their_receipt_and_zero_days_keep_them_for_ever(client: Client) -> None:
    assert set_retention(client, 30)
    assert not set_retention(client, 30)
    old = replace(second(1), start_ms=OPENING_MS - 86_400_000 * 365)
    received_now = round(dt.datetime.now(dt.UTC).timestamp() * 1e6)
    insert(client, [second(1), replace(old, received_us=received_now)])
    client.command("OPTIMIZE TABLE market.stock_versions FINAL")
    query = "SELECT toUnixTimestamp64Milli(start_timestamp) FROM market.stock_versions"
    assert client.query(query).result_rows == [(old.start_ms,)]
    assert set_retention(client, 0)
    assert not set_retention(client, 0)
    insert(client, [second(1)])
    client.command("OPTIMIZE TABLE market.stock_versions FINAL")
    assert len(client.query(query).result_rows) == 2


def test_a_ttl_that_somebody_set_by_hand_is_replaced(client: Client) -> None:
    client.command(
        "ALTER TABLE market.stock_versions MODIFY TTL toDateTime(start_timestamp) + INTERVAL 1 YEAR"
    )
    assert set_retention(client, 90)
    assert not set_retention(client, 90)
