"""The bytes of the Java, Go and JDBC clients: compressed blocks, Native and its revisions.

Requests and headers belong to test_clickhouse_protocol.py, the clients themselves to
scripts/check_clickhouse_clients.py.
"""

import json

import lz4.block
import pytest
import zstandard

from polygon_assets.local.clickhouse.blocks import BlockCompressor, checksum, decompress_blocks
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.clickhouse_http import ClickHouseHttp

SERVERS = ("clickhouse",)
LIMIT = 1 << 30
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"


@pytest.fixture
def http(settings: Settings) -> ClickHouseHttp:
    return ClickHouseHttp(settings)


@pytest.fixture
def table(http: ClickHouseHttp) -> str:
    http.ask("CREATE OR REPLACE TABLE market.p (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    return "market.p"


def block(method: int, data: bytes, size: int) -> bytes:
    head = bytes([method]) + (9 + len(data)).to_bytes(4, "little") + size.to_bytes(4, "little")
    return checksum(memoryview(head + data)) + head + data


BLOCKS = {
    "LZ4": lambda data: block(0x82, lz4.block.compress(data, store_size=False), len(data)),
    "ZSTD": lambda data: block(0x90, zstandard.ZstdCompressor().compress(data), len(data)),
    "NONE": lambda data: block(0x02, data, len(data)),
}


@pytest.mark.parametrize("output_format", ["TSV", "RowBinaryWithNamesAndTypes", "Native", "JSON"])
@pytest.mark.parametrize("rows", [0, 3, 400_000])
def test_compressed_answers_decompress_to_the_plain_answer(
    http: ClickHouseHttp, output_format: str, rows: int
) -> None:
    sql = (
        f"SELECT number, toString(number) AS s FROM numbers({rows}) "
        f"FORMAT {output_format} SETTINGS max_threads = 1"
    )
    plain, compressed = http.send(sql).body, http.send(sql, compress=1).body
    if output_format == "JSON":  # "elapsed" differs
        plain, compressed = (
            json.dumps(json.loads(body)["data"]).encode()
            for body in (plain, decompress_blocks(compressed, LIMIT))
        )
        assert compressed == plain
    else:
        assert decompress_blocks(compressed, LIMIT) == plain


def test_an_error_is_compressed_like_the_requested_answer_except_before_authentication(
    http: ClickHouseHttp,
) -> None:
    reply = http.send("SELECT nonsense", compress=1)
    assert decompress_blocks(reply.body, LIMIT).startswith(b"Code: 47. DB::Exception: ")
    assert http.send("SELECT 1", headers={}, compress=1).body.startswith(
        b"Code: 516. DB::Exception: "
    )


@pytest.mark.parametrize("method", BLOCKS)
def test_compressed_bodies_are_inserted(http: ClickHouseHttp, table: str, method: str) -> None:
    rows = b"".join(b"%d\tx%d\n" % (number, number) for number in range(5000))
    body = BLOCKS[method](rows[:10_000]) + BLOCKS[method](rows[10_000:])
    reply = http.send(body, query=f"INSERT INTO {table} FORMAT TSV", decompress=1)
    assert (reply.status, json.loads(reply.headers["X-ClickHouse-Summary"])["written_rows"]) == (
        200,
        "5000",
    )
    assert http.ask(f"SELECT count(), sum(n), uniqExact(s) FROM {table}") == "5000\t12497500\t5000"


def test_a_compressed_body_may_contain_the_statement_and_have_a_content_encoding_too(
    http: ClickHouseHttp, table: str
) -> None:
    body = zstandard.ZstdCompressor().compress(
        BLOCKS["LZ4"](f"INSERT INTO {table} FORMAT TSV\n1\ta\n".encode())
    )
    headers = {"Authorization": http.authorization(), "Content-Encoding": "zstd"}
    assert http.send(body, headers=headers, decompress=1).status == 200
    assert http.ask(f"SELECT * FROM {table}") == "1\ta"


GOOD = BLOCKS["LZ4"](b"1\ta\n")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (GOOD[:-1], "33"),
        (GOOD + GOOD[:20], "33"),
        (bytes([GOOD[0] ^ 1]) + GOOD[1:], "40"),
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "40"),
        (block(0x91, b"x", 1), "89"),
        (block(0x82, b"\xff\xff\xff", 4), "271"),
        (block(0x02, b"1\ta\n", 5), "271"),
        (b"INSERT INTO market.p FORMAT TSV\n1\ta\n", "39"),
    ],
    ids=[
        "incomplete",
        "incomplete second block",
        "wrong checksum",
        "wrong data",
        "unknown method",
        "not LZ4",
        "wrong size",
        "not compressed",
    ],
)
def test_damaged_compressed_bodies_insert_nothing(
    http: ClickHouseHttp, table: str, body: bytes, code: str
) -> None:
    reply = http.send(body, query=f"INSERT INTO {table} FORMAT TSV", decompress=1)
    assert reply.headers["X-ClickHouse-Exception-Code"] == code
    assert http.ask(f"SELECT count() FROM {table}") == "0"


def test_both_kinds_of_compression_can_be_combined(http: ClickHouseHttp) -> None:
    headers = {"Authorization": http.authorization(), "Accept-Encoding": "zstd"}
    reply = http.send("SELECT 1", headers=headers, compress=1, enable_http_compression=1)
    assert reply.headers["Content-Encoding"] == "zstd"
    assert (
        decompress_blocks(
            zstandard.ZstdDecompressor().decompressobj().decompress(reply.body), LIMIT
        )
        == b"1\n"
    )


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "lz4", "zstd", "br", "identity", ""])
@pytest.mark.parametrize("rows", [1, 400_000])
def test_http_compression_is_used_when_it_is_enabled(
    http: ClickHouseHttp, encoding: str, rows: int
) -> None:
    headers = {"Authorization": http.authorization(), "Accept-Encoding": encoding}
    sql = f"SELECT number FROM numbers({rows})"
    assert http.send(sql, headers=headers).headers["Content-Encoding"] is None
    supported = encoding in ("gzip", "deflate", "lz4", "zstd")
    assert http.send(sql, headers=headers, enable_http_compression=1).headers[
        "Content-Encoding"
    ] == (encoding if supported else None)


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        (0, b"\x02\x01\x01n\x05UInt8\x01\x01d\x08DateTime\x00\x00\x00\x00"),
        (54336, BLOCK_INFO + b"\x02\x01\x01n\x05UInt8\x01\x01d\x08DateTime\x00\x00\x00\x00"),
        (
            54405,
            BLOCK_INFO
            + b"\x02\x01\x01n\x05UInt8\x01\x01d\x19DateTime('Europe/Berlin')\x00\x00\x00\x00",
        ),
        (
            54460,
            BLOCK_INFO
            + b"\x02\x01\x01n\x05UInt8\x00\x01"
            + b"\x01d\x19DateTime('Europe/Berlin')\x00\x00\x00\x00\x00",
        ),
    ],
)
@pytest.mark.parametrize("native_by", ["clause", "default"])
def test_native_answers_follow_the_clients_revision(
    http: ClickHouseHttp, revision: int, expected: bytes, native_by: str
) -> None:
    sql = "SELECT 1 AS n, toDateTime({at:UInt32}, 'Europe/Berlin') AS d"
    sql, default = (f"{sql} FORMAT Native", "TSV") if native_by == "clause" else (sql, "Native")
    assert (
        http.send(sql, client_protocol_version=revision, default_format=default, param_at=0).body
        == expected
    )


TYPES = [
    "Int8", "UInt256", "Float32", "BFloat16", "Bool", "String", "FixedString(7)", "UUID", "IPv4",
    "IPv6", "Date", "Date32", "DateTime", "DateTime64(6, 'Asia/Tokyo')", "Decimal(9, 2)",
    "Decimal(18, 4)", "Decimal(38, 10)", "Decimal(76, 20)", "Enum8('a,)' = 1, 'b\\'(' = 2)",
    "Enum16('x' = 300)", "Nullable(String)", "Nullable(UInt8)", "Array(String)",
    "Array(Array(Nullable(Int32)))", "LowCardinality(String)", "LowCardinality(Nullable(String))",
    "Array(LowCardinality(String))", "Map(String, Array(UInt16))",
    "Map(LowCardinality(String), UInt8)", "Tuple(UInt8, String)",
    "Tuple(a UInt8, `b, c` Nullable(String), d Tuple(e Array(Int16)))",
    "Array(Tuple(LowCardinality(String), Float64))", "Nested(a UInt8, b String)", "Point", "Ring",
    "Polygon", "MultiPolygon", "LineString", "MultiLineString",
    "SimpleAggregateFunction(max, UInt64)", "IntervalSecond",
    "Variant(String, UInt64, Array(UInt8))", "Time", "Time64(3)",
]  # fmt: skip
VARIANT = "Variant(String, UInt64, Array(UInt8))"
# Expressions for types that generateRandom does not support.
EXPRESSIONS = {
    "BFloat16": "number / 3",
    "IntervalSecond": "number",
    "Time": "number",
    "Time64(3)": "number",
    "Nested(a UInt8, b String)": (
        "arrayMap(i -> (toUInt8(i), repeat('x', i * 100)), range(number % 4))"
    ),
    VARIANT: (
        f"[toString(number)::{VARIANT}, number::{VARIANT}, [1, 2]::Array(UInt8)::{VARIANT}, NULL]"
        "[number % 4 + 1]"
    ),
}
TAIL = b"\x01d\x19DateTime('Europe/Berlin')\x00%b\x01e\x06String\x00%b"


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("rows", [0, 1, 300])
def test_the_end_of_a_column_of_any_type_is_found(
    http: ClickHouseHttp, type_name: str, rows: int
) -> None:
    """The column is unchanged and the columns after it are in place, for values of every length."""
    settings = {
        "allow_suspicious_types_in_group_by": 1,
        "enable_time_time64_type": 1,
        "flatten_nested": 0,
    }
    http.ask(
        f"CREATE OR REPLACE TABLE market.types (x {type_name}) ENGINE = Memory",
        **settings,
        allow_suspicious_low_cardinality_types=1,
    )
    random = f"SELECT x FROM generateRandom('x {quote(type_name)}', 1, 200, 4) LIMIT {rows}"
    values = (
        f"SELECT {EXPRESSIONS[type_name]} FROM numbers({rows})"
        if type_name in EXPRESSIONS
        else random
    )
    http.ask(f"INSERT INTO market.types {values}", **settings)
    sql = (
        "SELECT x, toDateTime(1, 'Europe/Berlin') AS d, 'end' AS e FROM market.types FORMAT Native"
    )
    plain, upgraded = http.send(sql).body, http.send(sql, client_protocol_version=54460).body
    if rows == 0:
        assert plain == upgraded == b""
        return
    assert upgraded.startswith(BLOCK_INFO)
    dates, ends = b"\x01\x00\x00\x00" * rows, b"\x03end" * rows
    assert upgraded.endswith(TAIL % (dates, ends))
    assert plain.endswith(b"\x01d\x08DateTime" + dates + b"\x01e\x06String" + ends)
    head = plain[: -len(b"\x01d\x08DateTime" + dates + b"\x01e\x06String" + ends)]
    changed = upgraded[len(BLOCK_INFO) : -len(TAIL % (dates, ends))]
    assert len(changed) == len(head) + 1
    assert any(changed == head[:cut] + b"\x00" + head[cut:] for cut in range(len(head)))


def quote(type_name: str) -> str:
    return type_name.replace("\\", "\\\\").replace("'", "\\'")


def test_a_type_without_an_end_is_refused_unless_it_is_the_last_column(
    http: ClickHouseHttp,
) -> None:
    last, first = "SELECT 1 AS n, sumState(2) AS s", "SELECT sumState(2) AS s, 1 AS n"
    assert http.send(last, client_protocol_version=54460, default_format="Native").status == 200
    assert http.send(first, client_protocol_version=54405, default_format="Native").status == 200
    refused = http.send(first, client_protocol_version=54460, default_format="Native")
    assert (refused.status, refused.headers["X-ClickHouse-Exception-Code"]) == (501, "48")
    assert b"select it last" in refused.body


def test_a_native_body_has_no_revision(http: ClickHouseHttp, table: str) -> None:
    """clickhouse-go sends its protocol version with an INSERT, but encodes revision 0.

    The real server also reads revision 0.
    """
    body = b"\x02\x01\x01n\x06UInt64\x07" + bytes(7) + b"\x01s\x06String\x01x"
    assert (
        http.send(
            body, query=f"INSERT INTO {table} FORMAT Native", client_protocol_version=54460
        ).status
        == 200
    )
    assert http.ask(f"SELECT * FROM {table}") == "7\tx"


def test_block_compressor_and_decompressor_are_inverse() -> None:
    blocks = BlockCompressor()
    data = bytes(range(256)) * 10_000
    assert (
        decompress_blocks(blocks.compress(data) + blocks.compress(b"") + blocks.flush(), LIMIT)
        == data
    )
    assert blocks.flush() == b""
