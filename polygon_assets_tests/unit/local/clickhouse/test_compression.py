import gzip
import zlib

import lz4.frame
import pytest
import zstandard

from polygon_assets.local.clickhouse.compression import compressor_for, decompress
from polygon_assets.local.clickhouse.errors import ClickHouseError, TruncatedBodyError

DATA = b"0123456789" * 5000
FRAMES = {
    "lz4": lz4.frame.compress(DATA),
    "zstd": zstandard.ZstdCompressor().compress(DATA),
    "gzip": gzip.compress(DATA),
    "deflate": zlib.compress(DATA),
}


@pytest.mark.parametrize("encoding", FRAMES)
def test_several_frames_are_one_body(encoding: str) -> None:
    assert decompress(FRAMES[encoding] * 3, encoding) == DATA * 3


@pytest.mark.parametrize("encoding", FRAMES)
def test_an_incomplete_frame_is_refused(encoding: str) -> None:
    with pytest.raises(TruncatedBodyError):
        decompress(FRAMES[encoding] + FRAMES[encoding][:-3], encoding)


@pytest.mark.parametrize("encoding", FRAMES)
def test_damaged_data_are_refused(encoding: str) -> None:
    with pytest.raises(ClickHouseError, match="CANNOT_DECOMPRESS"):
        decompress(b"this is not compressed at all", encoding)


@pytest.mark.parametrize("encoding", FRAMES)
def test_data_compressed_in_pieces_decompress_as_one_body(encoding: str) -> None:
    name, compressor = compressor_for(f"br, {encoding};q=0.5")
    body = b"".join(compressor.compress(piece) for piece in (DATA, b"", DATA)) + compressor.flush()
    assert (name, decompress(body, encoding)) == (encoding, DATA * 2)
    name, compressor = compressor_for(encoding)
    assert decompress(compressor.flush(), encoding) == b""


def test_an_unknown_encoding_is_refused_in_a_body_and_avoided_in_an_answer() -> None:
    with pytest.raises(ClickHouseError, match="UNKNOWN_COMPRESSION_METHOD"):
        decompress(DATA, "br")
    name, compressor = compressor_for("br")
    assert (name, compressor.compress(DATA)) == ("", DATA)
