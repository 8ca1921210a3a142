"""Snowflake's column types: how each is named, encoded and decoded, and which a JSON schema gets.

Add a column type here; which fields a raw table has belongs to the connector's manifest, which
columns a mart has to `batch.marts.columns`.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class ColumnType:
    """How a Python value is encoded for the file and decoded into the column.

    The file contains dates and times as text, because the conversion of its own date types depends
    on the loader's settings.
    """

    name: str
    """Snowflake's name of the type."""
    encode: Callable[[Any], Any]
    """Not called for None; raises ValueError, TypeError or ArithmeticError for an unfit value."""
    decode: str = "{}"
    """SQL expression that converts the staged value to the column's value."""
    carrier: str = "VARCHAR"
    """Type of the staged value."""


def column_type(definition: Mapping[str, Any]) -> ColumnType:
    """The column type of a field's JSON schema."""
    kinds = definition.get("type", ())
    named = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    if len(named) != 1:
        return VARIANT
    if named == ["string"] and definition.get("format") == "date":
        return DATE
    if named == ["string"] and definition.get("format") == "date-time":
        return (
            TIMESTAMP_NTZ
            if definition.get("airbyte_type") == "timestamp_without_timezone"
            else TIMESTAMP_TZ
        )
    return _TYPES[named[0]]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float | Decimal) and not isfinite(value):
        raise ValueError("neither a finite number nor text")
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or value != int(value):
        raise ValueError("not a whole number")
    number = int(value)
    if abs(number) >= 2**63:
        raise ValueError("too large")
    return number


def _float(value: Any) -> float:
    if isinstance(value, bool | str):
        raise ValueError("not a number")
    number = float(value)
    if not isfinite(number):
        raise ValueError("not a finite number")
    return number


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _date(value: Any) -> str:
    return (value if isinstance(value, dt.date) else dt.date.fromisoformat(value)).isoformat()


def _moment(value: Any) -> str:
    """A time in UTC; a time without an offset counts as UTC."""
    moment = _datetime(value)
    in_utc = moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return in_utc.isoformat()


def _clock_time(value: Any) -> str:
    return _datetime(value).replace(tzinfo=None).isoformat()


def _datetime(value: Any) -> dt.datetime:
    return value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)


def _decimal(value: Any) -> str:
    number = Decimal(value)
    if isinstance(value, float) or not number.is_finite():
        raise ValueError("not an exact number")
    return format(number, "f")


VARCHAR = ColumnType("VARCHAR", _text)
INTEGER = ColumnType("NUMBER(38,0)", _integer, carrier="NUMBER(38,0)")
FLOAT = ColumnType("FLOAT", _float, carrier="FLOAT")
BOOLEAN = ColumnType("BOOLEAN", _boolean, carrier="BOOLEAN")
DATE = ColumnType("DATE", _date, "{}::DATE")
TIMESTAMP_TZ = ColumnType("TIMESTAMP_TZ", _moment, "{}::TIMESTAMP_TZ")
TIMESTAMP_NTZ = ColumnType("TIMESTAMP_NTZ", _clock_time, "{}::TIMESTAMP_NTZ")
VOLUME = ColumnType("NUMBER(28,6)", _decimal, "{}::NUMBER(28,6)")
VARIANT = ColumnType("VARIANT", json.dumps, "PARSE_JSON({})")
OBJECT = ColumnType("OBJECT", json.dumps, "PARSE_JSON({})::OBJECT")
ARRAY = ColumnType("ARRAY", json.dumps, "PARSE_JSON({})::ARRAY")

# Airbyte's destination maps JSON schema types this way; a field without a type is a VARIANT.
_TYPES = {
    "string": VARCHAR,
    "integer": INTEGER,
    "number": FLOAT,
    "boolean": BOOLEAN,
    "object": OBJECT,
    "array": ARRAY,
}
