"""HTTP content encodings of ClickHouse's interface: compresses answers, decompresses bodies.

Add an encoding here; reading which one a request asks for belongs to `request`, ClickHouse's own
block compression belongs to `blocks`.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

import lz4.frame
import zstandard

from polygon_assets.local.clickhouse.errors import ClickHouseError, TruncatedBodyError

_GZIP_WINDOW = 31  # zlib's code for a 32 KiB window with a gzip header


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class Compressor(Protocol):
    """Compresses one response, piece by piece."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Lz4Compressor:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._begun = False

    def compress(self, data: bytes, /) -> bytes:
        begin = b"" if self._begun else bytes(self._frame.begin())
        self._begun = True
        return begin + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        return self.compress(b"") + bytes(self._frame.flush())


class _PlainCompressor:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "gzip": lambda: zlib.decompressobj(_GZIP_WINDOW),
    "deflate": lambda: zlib.decompressobj(zlib.MAX_WBITS),
}
# In order of preference: the cheapest first, since the client is on the same machine.
_COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    "lz4": _Lz4Compressor,
    "zstd": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
    "gzip": lambda: zlib.compressobj(level=1, wbits=_GZIP_WINDOW),
    "deflate": lambda: zlib.compressobj(level=1),
}


def decompress(data: bytes, encoding: str) -> bytes:
    """The whole decompressed body; clients send one compressed frame per block, in sequence.

    Raises TruncatedBodyError for an incomplete frame, and ClickHouseError for an unknown encoding
    or damaged data.
    """
    if encoding in ("", "identity"):
        return data
    if encoding not in _DECOMPRESSORS:
        raise ClickHouseError.refused(
            89, "UNKNOWN_COMPRESSION_METHOD", f"Content-Encoding {encoding!r} is not supported here"
        )
    parts = []
    while data:
        frame = _DECOMPRESSORS[encoding]()
        try:
            parts.append(frame.decompress(data))
        except (RuntimeError, zlib.error, zstandard.ZstdError) as error:
            raise ClickHouseError.refused(
                271, "CANNOT_DECOMPRESS", f"the body is not {encoding}: {error}"
            ) from error
        if not frame.eof:
            raise TruncatedBodyError(f"the {encoding} body ends in the middle of a frame")
        data = frame.unused_data
    return b"".join(parts)


def compressor_for(accept_encoding: str) -> tuple[str, Compressor]:
    """The cheapest encoding that a client accepts, and its compressor; the name is "" for none."""
    accepted = {part.split(";")[0].strip() for part in accept_encoding.split(",")}
    for name, make in _COMPRESSORS.items():
        if name in accepted:
            return name, make()
    return "", _PlainCompressor()
