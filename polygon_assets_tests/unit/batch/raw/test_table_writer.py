"""A stream's columns in its table, and the encoding of each kind of value in the loaded file.

Loads over the real protocol belong to processes/test_warehouse.py.
"""

import datetime as dt
from decimal import Decimal
from typing import Any, cast

import pytest

from polygon_assets.batch.airbyte.connector import Stream, streams
from polygon_assets.batch.raw import column_types, table_writer
from polygon_assets.batch.raw.column_types import ColumnType
from polygon_assets.batch.raw.table_writer import RecordError, StreamError, columns

NO_CONNECTION = cast(Any, None)
AT = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)


def stream(
    properties: dict[str, dict[str, Any]], key: tuple[str, ...] = ("id",), cursor: str | None = None
) -> Stream:
    return Stream("sample", key, cursor, properties)


def test_the_tables_have_airbytes_columns_first_and_its_types() -> None:
    assert columns(streams()["tickers"]) == {
        "_AIRBYTE_RAW_ID": "VARCHAR NOT NULL",
        "_AIRBYTE_EXTRACTED_AT": "TIMESTAMP_TZ NOT NULL",
        "_AIRBYTE_META": "VARIANT NOT NULL",
        "_AIRBYTE_GENERATION_ID": "NUMBER(38,0)",
        "TICKER": "VARCHAR NOT NULL",
        "NAME": "VARCHAR",
        "MARKET": "VARCHAR NOT NULL",
        "LOCALE": "VARCHAR",
        "PRIMARY_EXCHANGE": "VARCHAR",
        "TYPE": "VARCHAR",
        "ACTIVE": "BOOLEAN NOT NULL",
        "CURRENCY_NAME": "VARCHAR",
        "CIK": "VARCHAR",
        "COMPOSITE_FIGI": "VARCHAR",
        "SHARE_CLASS_FIGI": "VARCHAR",
        "LAST_UPDATED_UTC": "TIMESTAMP_TZ NOT NULL",
        "DELISTED_UTC": "TIMESTAMP_TZ",
    }


@pytest.mark.parametrize(
    ("schema", "column"),
    [
        ({"type": ["null", "number"]}, "FLOAT"),
        ({"type": "integer"}, "NUMBER(38,0)"),
        ({"type": "string", "format": "date"}, "DATE"),
        (
            {"type": "string", "format": "date-time", "airbyte_type": "timestamp_without_timezone"},
            "TIMESTAMP_NTZ",
        ),
        ({"type": "object"}, "OBJECT"),
        ({"type": ["array", "null"]}, "ARRAY"),
        ({"type": ["string", "integer"]}, "VARIANT"),
        ({}, "VARIANT"),
    ],
)
def test_a_field_becomes_the_column_type_that_airbyte_would_create(
    schema: dict[str, Any], column: str
) -> None:
    assert columns(stream({"id": {"type": "string"}, "field": schema}))["FIELD"] == column


def test_two_fields_that_would_become_the_same_column_are_refused() -> None:
    with pytest.raises(
        StreamError, match="fields T and t of stream sample would be the same column: rename one"
    ):
        columns(stream({"T": {"type": "string"}, "t": {"type": "integer"}}, key=("T",)))


@pytest.mark.parametrize(
    ("key", "cursor", "message"),
    [
        ((), None, "has no primary key"),
        (("other",), None, "does not declare other"),
        (("id",), "at", "does not declare at"),
    ],
)
def test_a_stream_whose_key_or_cursor_is_unknown_is_refused(
    key: tuple[str, ...], cursor: str | None, message: str
) -> None:
    with pytest.raises(StreamError, match=message):
        columns(stream({"id": {"type": "string"}}, key, cursor))


@pytest.mark.parametrize(
    ("kind", "value", "encoded"),
    [
        (column_types.VARCHAR, "0000320193", "0000320193"),
        (column_types.VARCHAR, Decimal("1E+3"), "1000"),
        (column_types.VARCHAR, 5, "5"),
        (column_types.VARCHAR, {"a": [1]}, '{"a": [1]}'),
        (column_types.INTEGER, 5.0, 5),
        (column_types.FLOAT, 5, 5.0),
        (column_types.FLOAT, Decimal("1.5"), 1.5),
        (column_types.DATE, dt.date(2026, 11, 20), "2026-11-20"),
        (
            column_types.TIMESTAMP_TZ,
            "2026-11-20T09:30:00.123456789-05:00",
            "2026-11-20T14:30:00.123456+00:00",
        ),
        (column_types.TIMESTAMP_TZ, "2026-11-20T14:30:00Z", "2026-11-20T14:30:00+00:00"),
        (column_types.TIMESTAMP_TZ, "2026-11-20T14:30:00", "2026-11-20T14:30:00+00:00"),
        (column_types.TIMESTAMP_NTZ, "2026-11-20T14:30:00+02:00", "2026-11-20T14:30:00"),
        (column_types.VOLUME, "123456789012345.123456", "123456789012345.123456"),
        (column_types.VOLUME, 7, "7"),
    ],
)
def test_a_value_is_encoded_without_loss(kind: ColumnType, value: Any, encoded: Any) -> None:
    assert kind.encode(value) == encoded


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "open",
            "1.5",
            r"stream grouped_daily: open='1.5' is no FLOAT \(not a number\) in \{'ticker': 'A'",
        ),
        ("open", True, "open=True is no FLOAT"),
        ("otc", 1, r"otc=1 is no BOOLEAN"),
        ("transactions", 1.5, r"transactions=1.5 is no NUMBER\(38,0\) \(not a whole number\)"),
        ("transactions", 2**63, "too large"),
        ("date", "20.11.2026", "date='20.11.2026' is no DATE"),
        ("ticker", None, r"stream grouped_daily: the required field ticker is missing in \{"),
    ],
)
def test_an_unstorable_record_is_named_before_the_first_statement_to_snowflake(
    field: str, value: Any, message: str
) -> None:
    good = {
        "ticker": "A",
        "date": "2026-11-20",
        "open": 1.0,
        "otc": False,
        "transactions": 1,
        "volume": "1",
    }
    with pytest.raises(RecordError, match=message):
        table_writer.merge(
            NO_CONNECTION, streams()["grouped_daily"], [good, good | {field: value}], AT
        )
