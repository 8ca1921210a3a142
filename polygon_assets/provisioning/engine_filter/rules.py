"""The rules of `events.validation` as SQL expressions, which both engines understand.

The fields and their types come from `messages`, the limits from `events.validation`: add a rule in
both places, in the same order. What an engine calls differently is a method of its Dialect.
"""

import sys
from collections.abc import Iterator
from typing import Protocol

from msgspec import inspect

from polygon_assets.aggregate_columns import AGGREGATE_COLUMNS
from polygon_assets.events.validation import (
    CLOCK_TOLERANCE_MS,
    DECIMAL,
    FIRST_DAY_MS,
    LONGEST_SYMBOL,
    SHOWN_SYMBOL,
    WINDOW_MS,
)
from polygon_assets.messages import RawAggregate
from polygon_assets.streaming.delivery import LONGEST_REASON
from polygon_assets.subscriptions import PER_SECOND, SYMBOL

SQL_TYPES = {"string": "STRING", "number": "DOUBLE", "integer": "BIGINT", "boolean": "BOOLEAN"}
DECIMAL_TYPE = "DECIMAL(38, 25)"
"""It holds 13 digits before the point; a number with more than 12 is refused anyway."""
_LARGEST = f"{sys.float_info.max:.16E}".replace("+", "")


class Dialect(Protocol):
    """How an engine writes what the two write differently."""

    is_object: str
    """Whether the message is one JSON object in UTF-8."""

    def has(self, name: str) -> str:
        """Whether a field is present and not null."""

    def is_string(self, name: str) -> str:
        """Whether a field is a JSON string."""

    def string(self, name: str) -> str:
        """The content of a JSON string; NULL for other fields."""

    def scalar(self, name: str) -> str:
        """The text of a number or boolean; not one for a string."""

    def number(self, text: str, sql_type: str) -> str:
        """A text as a number; NULL for a text that is none or that does not fit."""

    def matches(self, text: str, pattern: str) -> str:
        """Whether the whole text matches a regular expression."""


def typed_columns(dialect: Dialect) -> dict[str, str]:
    """By name, the values of a message, and `misread`: the first field of another type."""
    fields = inspect.type_info(RawAggregate).fields  # type: ignore[attr-defined]
    values = {field.name: _value(dialect, field.name, _kind(field.type)) for field in fields}
    for name in ("volume", "accumulated_volume"):
        values[name] = _exact_decimal(dialect, name, values.pop(f"decimal_{name}"))
    wrong = [_misreading(dialect, field) for field in fields]
    unreadable = f"WHEN NOT {dialect.is_object} THEN 'no JSON object in UTF-8'"
    return values | {
        "average_size_text": dialect.scalar("average_size"),
        "misread": _case([unreadable, *wrong]),
    }


def reason(dialect: Dialect) -> str:
    """The first reason to refuse a message, of its typed columns; NULL for a valid one."""
    cases = [f"WHEN {condition} THEN {text}" for condition, text in _refusals(dialect)]
    return f"SUBSTRING({_case(cases)}, 1, {LONGEST_REASON})"


def row_columns() -> dict[str, str]:
    """By name, the expression of each column of a filtered message but `readable_timestamp`."""
    return {column.name: f"`{column.raw}`" for column in AGGREGATE_COLUMNS}


def row_type(name: str) -> str:
    """The SQL type of a column of a filtered message."""
    types = {column.name: SQL_TYPES[column.json_type] for column in AGGREGATE_COLUMNS}
    return types.get(name, "STRING")


def _kind(field_type: inspect.Type) -> inspect.Type:
    """The type of a field's value that is not null; a float may be written as an integer."""
    return field_type.types[0] if isinstance(field_type, inspect.UnionType) else field_type


def _value(dialect: Dialect, name: str, kind: inspect.Type) -> str:
    match kind:
        case inspect.StrType() | inspect.LiteralType():
            return dialect.string(name)
        case inspect.FloatType():
            return dialect.number(dialect.scalar(name), "DOUBLE")
        case inspect.IntType():
            return dialect.number(dialect.scalar(name), "BIGINT")
        case inspect.BoolType():
            return f"CASE WHEN {dialect.scalar(name)} = 'true' THEN TRUE ELSE FALSE END"
    raise TypeError(f"field {name} of RawAggregate has type {kind}: say here how SQL reads it")


def _misreading(dialect: Dialect, field: inspect.Field) -> str:
    """The case of a field that cannot be read, as msgspec decides it, with the words for it."""
    kind = _kind(field.type)
    value = _value(dialect, field.name, kind)
    match kind:
        case inspect.StrType():
            fits, words = dialect.is_string(field.name), "is no string"
        case inspect.LiteralType(values=choices):
            options = ", ".join(f"'{choice}'" for choice in choices)
            fits, words = f"{value} IN ({options})", f"is none of {' '.join(map(str, choices))}"
        case inspect.FloatType():
            fits, words = f"{value} BETWEEN -{_LARGEST} AND {_LARGEST}", "is no number"
        case inspect.IntType(ge=least, le=most):
            fits = f"{value} BETWEEN {least} AND {most}"
            words = f"is no integer from {least} to {most}"
        case _:
            fits = f"{dialect.scalar(field.name)} IN ('true', 'false')"
            words = "is neither true nor false"
    is_wrong = f"NOT COALESCE({fits}, FALSE)"
    condition = is_wrong if field.required else f"{dialect.has(field.name)} AND {is_wrong}"
    return f"WHEN {condition} THEN '{field.name} {words}'"


def _exact_decimal(dialect: Dialect, name: str, decimal: str) -> str:
    """`events.validation.exact_decimal`: the vendor's text, or the number without an exponent."""
    text = dialect.scalar(name)
    whole = f"CASE WHEN {dialect.matches(text, '-?[0-9]+')} THEN {text} END"
    plain = f"CAST({dialect.number(text, DECIMAL_TYPE)} AS STRING)"
    return rf"COALESCE({decimal}, {whole}, REGEXP_REPLACE({plain}, '\.?0+\z', ''), {text})"


def _refusals(dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Each condition to refuse a message, and the reason, as `events.validation` words it."""
    yield "`misread` IS NOT NULL", _concat("'not a raw aggregate: '", "`misread`")
    yield (
        f"`event_type` <> '{PER_SECOND}'",
        _concat(
            "'event_type '''",
            "`event_type`",
            f"''' is not the per-second aggregate ''{PER_SECOND}'''",
        ),
    )
    shown = f"SUBSTRING(`symbol`, 1, {SHOWN_SYMBOL})"
    yield (
        f"SUBSTRING(`symbol`, 1, {LONGEST_SYMBOL}) <> `symbol` "
        f"OR NOT {dialect.matches('`symbol`', SYMBOL.pattern)}",
        _concat("'symbol '''", shown, "''' is not a ticker symbol'"),
    )
    yield from _time_refusals()
    yield from _price_refusals()
    for name in ("volume", "accumulated_volume"):
        yield (
            f"`{name}` IS NOT NULL AND NOT {dialect.matches(f'`{name}`', DECIMAL.pattern)}",
            _concat(
                f"'{name} '''",
                f"`{name}`",
                "''' must be >= 0 with at most 12 digits before and 6 after the point'",
            ),
        )
    yield (
        "`average_size` < 0",
        _concat("'average_size '", "`average_size_text`", "' must be >= 0'"),
    )


def _time_refusals() -> Iterator[tuple[str, str]]:
    start, end, received_ms = "`start_timestamp`", "`end_timestamp`", "`received_at` / 1000"
    length, ahead = f"{end} - {start}", f"({end} - {received_ms})"
    yield (
        f"{length} <> {WINDOW_MS}",
        _concat("'window of '", _text(length), "' ms from '", _text(start), "' is not one second'"),
    )
    begin = ("'start_timestamp '", _text(start))
    yield f"{start} % {WINDOW_MS} <> 0", _concat(*begin, "' is not a whole second'")
    yield (
        f"{start} < {FIRST_DAY_MS}",
        _concat(*begin, "' is before 2003: not Unix milliseconds?'"),
    )
    yield (
        f"{end} > {received_ms} + {CLOCK_TOLERANCE_MS}",
        _concat(
            "'end_timestamp '",
            _text(end),
            "' is '",
            _text(f"ROUND(CAST({ahead} AS DOUBLE) / 1000.0, 1)"),
            "' s later than its arrival at '",
            _text(received_ms),
            "': the vendor''s clock or this machine''s is wrong'",
        ),
    )


def _price_refusals() -> Iterator[tuple[str, str]]:
    prices = {"open": "`open_price`", "high": "`high`", "low": "`low`", "close": "`close_price`"}
    open_, high, low, close = prices.values()
    parts = [
        f"'{', ' * (name != 'open')}{name} ', {_text(price)}" for name, price in prices.items()
    ]
    yield (
        f"NOT ({low} > 0 AND {low} <= {open_} AND {open_} <= {high} "
        f"AND {low} <= {close} AND {close} <= {high})",
        _concat("'prices must be > 0 and low <= open, close <= high: '", *parts),
    )
    for name in ("vwap", "official_open_price", "aggregate_vwap"):
        yield f"`{name}` <= 0", _concat(f"'{name} '", _text(f"`{name}`"), "' must be > 0'")


def _text(expression: str) -> str:
    return f"CAST({expression} AS STRING)"


def _concat(*parts: str) -> str:
    return f"CONCAT({', '.join(parts)})"


def _case(whens: list[str]) -> str:
    return "\n    ".join(["CASE", *(f"  {when}" for when in whens), "END"])
