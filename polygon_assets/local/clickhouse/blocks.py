"""ClickHouse's own block compression, which clients request with `compress=1` and `decompress=1`.

A body is a sequence of blocks: 16 bytes CityHash128 of the rest, a method byte, the compressed size
(including these 9 bytes), the size of the data, the data. Add block methods here; HTTP's content
encodings belong to `compression`.
"""

import struct
from collections.abc import Callable, Iterator

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from polygon_assets.local.clickhouse.errors import ClickHouseError

_BLOCK_BYTES = 1024 * 1024  # the size of the server's CompressedWriteBuffer
_MAX_BLOCK_BYTES = 1024 * 1024 * 1024  # DBMS_MAX_COMPRESSED_SIZE
_CHECKSUM_BYTES = 16
_HEAD = struct.Struct("<BII")
_LZ4, _ZSTD, _NONE = 0x82, 0x90, 0x02


class BlockCompressor:
    """Compresses one answer with LZ4, the server's default method."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def compress(self, data: bytes, /) -> bytes:
        self._waiting += data
        whole = len(self._waiting) // _BLOCK_BYTES * _BLOCK_BYTES
        blocks = b"".join(
            _block(bytes(self._waiting[start : start + _BLOCK_BYTES]))
            for start in range(0, whole, _BLOCK_BYTES)
        )
        del self._waiting[:whole]
        return blocks

    def flush(self) -> bytes:
        block = _block(bytes(self._waiting)) if self._waiting else b""
        self._waiting.clear()
        return block


def decompress_blocks(data: bytes, max_bytes: int) -> bytes:
    """The data of all blocks. Raises ClickHouseError for an incomplete or damaged block."""
    parts = []
    total = 0
    for expected_checksum, method, size, block in _blocks(memoryview(data)):
        total += size
        if total > max_bytes:
            raise ClickHouseError.refused(
                307, "TOO_MANY_BYTES", f"a body may have at most {max_bytes} bytes here"
            )
        if checksum(block) != expected_checksum:
            raise ClickHouseError.refused(
                40, "CHECKSUM_DOESNT_MATCH", "a compressed block of the body is damaged"
            )
        parts.append(_content(method, bytes(block[_HEAD.size :]), size))
    return b"".join(parts)


def _blocks(data: memoryview) -> Iterator[tuple[bytes, int, int, memoryview]]:
    position = 0
    while position < len(data):
        start = position + _CHECKSUM_BYTES
        if len(data) < start + _HEAD.size:
            raise _incomplete("the body ends in the head of a compressed block")
        method, compressed_size, size = _HEAD.unpack_from(data, start)
        if not _HEAD.size <= compressed_size <= _MAX_BLOCK_BYTES or size > _MAX_BLOCK_BYTES:
            message = (
                f"the head of a compressed block gives its size as {compressed_size} bytes: "
                "is the body compressed at all?"
            )
            raise ClickHouseError.refused(39, "TOO_LARGE_SIZE_COMPRESSED", message)
        if len(data) < start + compressed_size:
            raise _incomplete("the body ends in the middle of a compressed block")
        yield bytes(data[position:start]), method, size, data[start : start + compressed_size]
        position = start + compressed_size


def _incomplete(message: str) -> ClickHouseError:
    return ClickHouseError.refused(33, "CANNOT_READ_ALL_DATA", message)


def _content(method: int, data: bytes, size: int) -> bytes:
    if method not in _METHODS:
        message = (
            f"Unknown compression method 0x{method:02x}: LZ4, ZSTD and NONE are supported here"
        )
        raise ClickHouseError.refused(89, "UNKNOWN_COMPRESSION_METHOD", message)
    try:
        content = _METHODS[method](data, size)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, ValueError) as error:
        raise ClickHouseError.refused(
            271, "CANNOT_DECOMPRESS", f"a compressed block is damaged: {error}"
        ) from error
    if len(content) != size:
        message = (
            f"the head of a compressed block gives {size} bytes, its content has {len(content)}"
        )
        raise ClickHouseError.refused(271, "CANNOT_DECOMPRESS", message)
    return content


_METHODS: dict[int, Callable[[bytes, int], bytes]] = {
    _LZ4: lambda data, size: bytes(lz4.block.decompress(data, uncompressed_size=size)),
    _ZSTD: lambda data, size: zstandard.ZstdDecompressor().decompress(data, max_output_size=size),
    _NONE: lambda data, _: data,
}


def _block(data: bytes) -> bytes:
    compressed: bytes = lz4.block.compress(data, store_size=False)
    block = _HEAD.pack(_LZ4, _HEAD.size + len(compressed), len(data)) + compressed
    return checksum(memoryview(block)) + block


def checksum(block: memoryview) -> bytes:
    """CityHash128 of the block: the lower half first, each half little endian."""
    value: int = CityHash128(bytes(block))
    return (value >> 64).to_bytes(8, "little") + (value & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(
        8, "little"
    )
