import pytest
from hypothesis import given
from hypothesis import strategies as st

from polygon_assets.local.clickhouse.blocks import BlockCompressor, decompress_blocks
from polygon_assets.local.clickhouse.errors import ClickHouseError

DATA = b"\x05stock" * 20
# Files of a column `s String` with the rows `stock`, written by the engine with CODEC(LZ4),
# CODEC(ZSTD(1)) and CODEC(NONE).
WRITTEN_BY_THE_ENGINE = {
    "LZ4": "70a3304ab4c3d224edcc137b17b78c058219000000780000006f0573746f636b06005a5073746f636b",
    "ZSTD": (
        "ff58e7fd94290761e7d28fab2c8a81d6901f000000780000"
        "0028b52ffd20786d0000300573746f636b01002f692902"
    ),
    "NONE": "f8b4647c8b3de38c813f4f7791af98b7028100000078000000" + DATA.hex(),
}


@pytest.mark.parametrize("method", WRITTEN_BY_THE_ENGINE)
def test_blocks_of_the_engine_are_read(method: str) -> None:
    assert decompress_blocks(bytes.fromhex(WRITTEN_BY_THE_ENGINE[method]), 1000) == DATA


def test_blocks_have_the_engines_format() -> None:
    """Equal bytes up to the data, which each LZ4 library may compress in its own way."""
    blocks = BlockCompressor()
    written = blocks.compress(DATA) + blocks.flush()
    assert written[16] == bytes.fromhex(WRITTEN_BY_THE_ENGINE["LZ4"])[16]
    assert written[21:25] == bytes.fromhex(WRITTEN_BY_THE_ENGINE["LZ4"])[21:25]
    assert decompress_blocks(written, 1000) == DATA


@given(pieces=st.lists(st.binary(max_size=5000)))
def test_data_compressed_in_pieces_decompress_as_one_body(pieces: list[bytes]) -> None:
    blocks = BlockCompressor()
    body = b"".join(blocks.compress(piece) for piece in pieces) + blocks.flush()
    assert decompress_blocks(body, 10_000_000) == b"".join(pieces)


@given(data=st.binary(min_size=1, max_size=300), where=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_changed_bit_is_refused(data: bytes, where: float, bit: int) -> None:
    blocks = BlockCompressor()
    body = bytearray(blocks.compress(data) + blocks.flush())
    body[int(where * len(body))] ^= 1 << bit
    with pytest.raises(ClickHouseError):
        decompress_blocks(bytes(body), 10_000_000)


@given(data=st.binary(min_size=1, max_size=300), where=st.floats(0, 0.999))
def test_an_incomplete_body_is_refused(data: bytes, where: float) -> None:
    blocks = BlockCompressor()
    body = blocks.compress(data) + blocks.flush()
    prefix = body[: int(where * len(body))]
    if prefix:
        with pytest.raises(ClickHouseError, match="CANNOT_READ_ALL_DATA"):
            decompress_blocks(prefix, 10_000_000)


def test_a_body_over_the_limit_is_refused() -> None:
    blocks = BlockCompressor()
    body = blocks.compress(bytes(3_000_000)) + blocks.flush()
    with pytest.raises(ClickHouseError, match="TOO_MANY_BYTES"):
        decompress_blocks(body, 2_999_999)
