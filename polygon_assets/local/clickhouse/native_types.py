"""The length of a column in ClickHouse's Native format, from its type's name.

Add a type's layout here: values are stepped over, never decoded. The bytes between columns belong
to `native`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.local.clickhouse.errors import ClickHouseError

_NAME_AND_ARGUMENTS = re.compile(r"(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)
_NAMED_ELEMENT = re.compile(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*)\s+(?=[A-Z])")
_WIDTHS = {
    "Nothing": 1, "Bool": 1, "Int8": 1, "UInt8": 1, "Enum8": 1,
    "Int16": 2, "UInt16": 2, "Enum16": 2, "Date": 2, "BFloat16": 2,
    "Int32": 4, "UInt32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "Time": 4, "IPv4": 4,
    "Decimal32": 4,
    "Int64": 8, "UInt64": 8, "Float64": 8, "DateTime64": 8, "Time64": 8, "Decimal64": 8,
    "Int128": 16, "UInt128": 16, "UUID": 16, "IPv6": 16, "Decimal128": 16,
    "Int256": 32, "UInt256": 32, "Decimal256": 32,
}  # fmt: skip
_ALIASES = {
    "Point": "Tuple(Float64, Float64)", "Ring": "Array(Point)", "LineString": "Array(Point)",
    "Polygon": "Array(Ring)", "MultiLineString": "Array(LineString)",
    "MultiPolygon": "Array(Polygon)",
}  # fmt: skip
_DECIMAL_WIDTHS = ((9, 4), (18, 8), (38, 16), (76, 32))
_NULL_VARIANT = 255
_MAX_DEPTH = 200  # parentheses: far more than a table uses, far fewer than Python's stack allows


class OpaqueTypeError(PolygonAssetsError):
    """The length of such a column needs its decoded values; the message is the type's name."""


@dataclass
class Cursor:
    """A position in a Native block. Raises ClickHouseError 33 when moved past the end."""

    data: bytes
    position: int = 0

    def skip(self, size: int) -> None:
        self.position += size
        if self.position > len(self.data):
            raise ClickHouseError.refused(
                33, "CANNOT_READ_ALL_DATA", "a Native block ends too early"
            )

    def take(self, size: int) -> bytes:
        start = self.position
        self.skip(size)
        return self.data[start : self.position]

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.integer(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> str:
        return self.take(self.varint()).decode("utf-8", "surrogateescape")


def _skip_nothing(_cursor: Cursor) -> None:
    """Skip no prefix, as most types have none."""


@dataclass(frozen=True)
class Layout:
    """Steps over a column: first the prefixes of all nested types, then the values of all rows."""

    skip_values: Callable[[Cursor, int], None]
    skip_prefix: Callable[[Cursor], None] = field(default=_skip_nothing)

    def skip(self, cursor: Cursor, rows: int) -> None:
        if rows:
            self.skip_prefix(cursor)
            self.skip_values(cursor, rows)


@lru_cache(maxsize=1024)
def layout(type_name: str) -> Layout:
    """The layout of a type.

    Raises OpaqueTypeError for types whose values contain their length (JSON, Dynamic, aggregate
    states).
    """
    if type_name.count("(") > _MAX_DEPTH:
        raise OpaqueTypeError(type_name)
    try:
        return _layout(type_name)
    except (ValueError, IndexError, StopIteration) as error:  # FixedString(x), Decimal(99), Map()
        raise OpaqueTypeError(type_name) from error


def _layout(type_name: str) -> Layout:
    match = _NAME_AND_ARGUMENTS.fullmatch(type_name.strip())
    name, text = (match[1], match[2] or "") if match else ("", "")
    if name in _WIDTHS:
        return _fixed(_WIDTHS[name])
    if name.startswith("Interval"):
        return _fixed(8)
    if name in _ALIASES:
        return layout(_ALIASES[name])
    if name not in _LAYOUTS:
        raise OpaqueTypeError(type_name)
    return _LAYOUTS[name](_split(text))


def _split(arguments: str) -> list[str]:
    """The arguments at the top level; ignores commas within parentheses, quotes and names."""
    parts, depth, start, quote = [], 0, 0, ""
    index = 0
    while index < len(arguments):
        character = arguments[index]
        if quote:
            index += character == "\\"
            quote = "" if character == quote else quote
        elif character in "'`":
            quote = character
        elif character == "," and not depth:
            parts.append(arguments[start:index].strip())
            start = index + 1
        else:
            depth += (character == "(") - (character == ")")
        index += 1
    return [*parts, arguments[start:].strip()]


def _fixed(width: int) -> Layout:
    return Layout(lambda cursor, rows: cursor.skip(width * rows))


def _decimal(arguments: Sequence[str]) -> Layout:
    return _fixed(next(width for digits, width in _DECIMAL_WIDTHS if int(arguments[0]) <= digits))


def _skip_strings(cursor: Cursor, rows: int) -> None:
    """Skip strings; inlined, because this loop is the cost of a big text column (70 ns a row)."""
    data, position = cursor.data, cursor.position
    try:
        for _ in range(rows):
            size = data[position]
            position += 1
            if size >= 0x80:
                cursor.position = position - 1
                size = cursor.varint()
                position = cursor.position
            position += size
    except IndexError:
        raise ClickHouseError.refused(
            33, "CANNOT_READ_ALL_DATA", "a Native block ends within a column of strings"
        ) from None
    cursor.position = position
    cursor.skip(0)


def _nullable(arguments: Sequence[str]) -> Layout:
    return _in_order([_fixed(1), layout(arguments[0])])


def _in_order(elements: Sequence[Layout]) -> Layout:
    def skip_values(cursor: Cursor, rows: int) -> None:
        for element in elements:
            element.skip_values(cursor, rows)

    return Layout(skip_values, lambda cursor: _skip_prefixes(elements, cursor))


def _skip_prefixes(elements: Sequence[Layout], cursor: Cursor) -> None:
    for element in elements:
        element.skip_prefix(cursor)


def _tuple(arguments: Sequence[str]) -> Layout:
    """The elements in order; an empty `Tuple()` has one byte per row."""
    elements = [
        layout(_NAMED_ELEMENT.sub("", argument, count=1)) for argument in arguments if argument
    ]
    return _in_order(elements or [_fixed(1)])


def _array(arguments: Sequence[str]) -> Layout:
    return _repeated(layout(arguments[0]))


def _map(arguments: Sequence[str]) -> Layout:
    return _repeated(_in_order([layout(argument) for argument in arguments]))


def _nested(arguments: Sequence[str]) -> Layout:
    return _repeated(_tuple(arguments))


def _repeated(element: Layout) -> Layout:
    """The offsets of all rows, then the elements; the last offset is the number of elements."""

    def skip_values(cursor: Cursor, rows: int) -> None:
        cursor.skip(8 * (rows - 1))
        elements = cursor.integer(8)
        if elements:
            element.skip_values(cursor, elements)

    return Layout(skip_values, element.skip_prefix)


def _low_cardinality(arguments: Sequence[str]) -> Layout:
    """The block's dictionary, then an index per row; NULL is a key, so there is no null map."""
    inner = arguments[0]
    if inner.startswith("Nullable("):
        inner = inner.removeprefix("Nullable(").removesuffix(")")
    keys = layout(inner)

    def skip_values(cursor: Cursor, _rows: int) -> None:
        index_width = 1 << (cursor.integer(8) & 0xFF)
        count = cursor.integer(8)
        if count:
            keys.skip_values(cursor, count)
        cursor.skip(cursor.integer(8) * index_width)

    return Layout(skip_values, lambda cursor: cursor.skip(8))


def _variant(arguments: Sequence[str]) -> Layout:
    """A discriminator per row, then each alternative's values in the order of the type's name.

    The server sorts the alternatives in the type's name.
    """
    alternatives = [layout(argument) for argument in arguments]

    def skip_prefix(cursor: Cursor) -> None:
        if cursor.integer(8):
            raise OpaqueTypeError("Variant in compact form")
        _skip_prefixes(alternatives, cursor)

    def skip_values(cursor: Cursor, rows: int) -> None:
        discriminators = cursor.take(rows)
        for number, alternative in enumerate(alternatives[:_NULL_VARIANT]):
            count = discriminators.count(number)
            if count:
                alternative.skip_values(cursor, count)

    return Layout(skip_values, skip_prefix)


_LAYOUTS: dict[str, Callable[[list[str]], Layout]] = {
    "String": lambda _: Layout(_skip_strings),
    "FixedString": lambda arguments: _fixed(int(arguments[0])),
    "Decimal": _decimal,
    "Nullable": _nullable,
    "Array": _array,
    "Map": _map,
    "Tuple": _tuple,
    "Nested": _nested,
    "LowCardinality": _low_cardinality,
    "SimpleAggregateFunction": lambda arguments: layout(arguments[-1]),
    "Variant": _variant,
}
