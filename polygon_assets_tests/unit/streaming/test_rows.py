"""Filtered messages as Arrow columns: exact values, and an error for messages that are no row."""

import decimal

import pytest

from polygon_assets.events.validation import to_row
from polygon_assets.messages import FilteredAggregate, encode
from polygon_assets.streaming.rows import CHUNK, SCHEMA, BadRowsError, newest_ms, to_table
from polygon_assets_tests.unit.streaming.samples import START_MS, raw_aggregate


def message(**changes: object) -> bytes:
    return encode(to_row(raw_aggregate(**changes)))


def test_columns_follow_the_fields_of_the_message() -> None:
    assert (*SCHEMA.names, "readable_timestamp") == FilteredAggregate.__struct_fields__


def test_values_arrive_exactly() -> None:
    [row] = to_table([message(decimal_volume="200.123456", vwap=None)]).to_pylist()
    assert row["volume"] == decimal.Decimal("200.123456")
    assert row["vwap"] is None
    assert row["start_timestamp"].timestamp() * 1000 == START_MS
    assert row["close"] == 25.41


def test_more_than_one_chunk_keeps_order_and_number() -> None:
    symbols = [f"S{number}" for number in range(2 * CHUNK + 1)]
    assert to_table([message(symbol=symbol) for symbol in symbols])["symbol"].to_pylist() == symbols


def test_the_newest_moment_is_in_milliseconds() -> None:
    table = to_table([message(), message(received_at=(START_MS + 9_000) * 1000 + 999)])
    assert newest_ms(table, "received_at") == START_MS + 9_000


@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense",
        b"",
        b"[1]",
        message().replace(b'"volume":"200"', b'"volume":"abc"'),
        message().replace(b'"volume":"200"', b'"volume":"1.1234567"'),
        message().replace(b'"symbol":"AAPL",', b""),
        message().replace(b'"otc":false', b'"otc":null'),
        message() + b"," + message(),
        message().replace(b"AAPL", b"AA\xff"),
        message().replace(b'"otc":false', b'"otc":' + b"[" * 200_000),
        message().replace(str(START_MS).encode(), b"9" * 30),
    ],
)
def test_a_message_that_is_not_a_row_is_refused(bad: bytes) -> None:
    with pytest.raises(BadRowsError):
        to_table([message(), bad, message()])
