import pytest
from hypothesis import given
from hypothesis import strategies as st

from polygon_assets.local.clickhouse.errors import ClickHouseError
from polygon_assets.local.clickhouse.native import upgraded
from polygon_assets.local.clickhouse.native_types import Cursor, OpaqueTypeError, layout

BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"


def no_types() -> dict[str, str]:
    raise AssertionError("no column has lost its time zone")


@given(texts=st.lists(st.binary(max_size=300), min_size=1))
def test_strings_of_every_length_are_stepped_over(texts: list[bytes]) -> None:
    values = b"".join(size_of(text) + text for text in texts)
    cursor = Cursor(values + b"rest")
    layout("String").skip(cursor, len(texts))
    assert cursor.take(4) == b"rest"


def size_of(text: bytes) -> bytes:
    return (
        bytes([len(text)]) if len(text) < 128 else bytes([len(text) & 0x7F | 0x80, len(text) >> 7])
    )


@pytest.mark.parametrize(
    "type_name",
    [
        *("AggregateFunction(sum, UInt64)", "JSON", "Dynamic", "QBit(Float32, 8)", "Array(JSON)"),
        *("NoSuchType", "", "FixedString(x)", "Decimal(99, 1)", "Nullable()"),
        "Array(" * 300 + "UInt8" + ")" * 300,
    ],
)
def test_types_without_a_known_end_are_refused(type_name: str) -> None:
    with pytest.raises(OpaqueTypeError):
        layout(type_name)


@pytest.mark.parametrize(
    "type_name",
    [
        "String",
        "UInt64",
        "Array(String)",
        "LowCardinality(String)",
        "Variant(String, UInt8)",
        "Nullable(String)",
    ],
)
def test_a_block_that_ends_too_early_is_refused(type_name: str) -> None:
    with pytest.raises(ClickHouseError, match="CANNOT_READ_ALL_DATA"):
        layout(type_name).skip(Cursor(b"\x00\x00\x00"), 10)


def test_no_column_is_read_when_only_the_block_info_is_missing() -> None:
    """clickhouse-connect's revision costs nothing: even bytes that are no block pass."""
    assert upgraded(b"any bytes", 54405, no_types) == BLOCK_INFO + b"any bytes"
    assert upgraded(b"any bytes", 0, no_types) == b"any bytes"


def test_names_that_are_not_utf_8_stay_as_they_are() -> None:
    block = b"\x01\x01\x02\xff\xfe\x05UInt8\x07"
    assert upgraded(block, 54460, no_types) == BLOCK_INFO + b"\x01\x01\x02\xff\xfe\x05UInt8\x00\x07"


def test_a_column_without_a_known_time_zone_keeps_its_short_type() -> None:
    block = b"\x01\x01\x01d\x08DateTime\x00\x00\x00\x00"
    assert upgraded(block, 54405, dict) == BLOCK_INFO + block
