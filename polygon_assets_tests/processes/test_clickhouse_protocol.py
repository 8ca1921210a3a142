"""The protocol of the Java, Go and JDBC clients: blocks, revisions, headers, request rules."""

import json
from base64 import b64encode

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


def test_data_of_an_insert_may_contain_semicolons_after_any_statement(
    http: ClickHouseHttp, table: str
) -> None:
    http.ask(f"INSERT INTO {table} FORMAT TSV\n1\ta;\n")
    http.ask(f"WITH 1 AS y INSERT INTO {table} FORMAT TSV\n2\tb;\n")
    http.ask(f"WITH {{x:UInt8}} AS y INSERT INTO {table} SELECT y, 'c;'", param_x=3)
    http.ask("4\td;\n", query=f"INSERT INTO {table} FORMAT TSV")
    http.ask("(5, 'e;')", query=f"INSERT INTO {table} VALUES")
    assert (
        http.ask(f"SELECT groupArray(s) FROM (SELECT s FROM {table} ORDER BY n)")
        == "['a;','b;','c;','d;','e;']"
    )


CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSVWithNamesAndTypes": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "JSONCompactEachRow": "application/x-ndjson; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
    "Pretty": "text/plain; charset=UTF-8",
    "Values": "text/plain; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinaryWithNamesAndTypes": "application/octet-stream",
    "Parquet": "application/octet-stream",
}


@pytest.mark.parametrize("output_format", CONTENT_TYPES)
@pytest.mark.parametrize("rows", [1, 400_000])
def test_headers_describe_the_body(http: ClickHouseHttp, output_format: str, rows: int) -> None:
    reply = http.send(
        f"SELECT number FROM numbers({rows}) FORMAT {output_format}",
        query_id=f"{output_format}-{rows}",
    )
    assert reply.headers["Content-Type"] == CONTENT_TYPES[output_format]
    assert reply.headers["X-ClickHouse-Format"] == output_format
    assert reply.headers["X-ClickHouse-Query-Id"] == f"{output_format}-{rows}"
    assert reply.headers["X-ClickHouse-Timezone"] == "UTC"
    assert {"read_rows", "written_rows", "result_rows", "elapsed_ns"} <= set(
        json.loads(reply.headers["X-ClickHouse-Summary"])
    )


def test_a_query_has_the_id_that_its_client_gave(http: ClickHouseHttp) -> None:
    assert (
        http.ask("SELECT queryID(), initialQueryID() = query_id(), 'queryID()'", query_id="mine")
        == "mine\t1\tqueryID()"
    )
    headers = {"Authorization": http.authorization(), "X-ClickHouse-Query-Id": "header"}
    reply = http.send("SELECT queryID()", headers=headers)
    assert (reply.body, reply.headers["X-ClickHouse-Query-Id"]) == (b"header\n", "header")
    reply = http.send("SELECT queryID()")
    assert reply.body.decode().strip() == reply.headers["X-ClickHouse-Query-Id"]
    assert (
        http.send("SELECT nonsense", query_id="wrong").headers["X-ClickHouse-Query-Id"] == "wrong"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO market.p VALUES (1, 'a')",
        "INSERT INTO market.p FORMAT TSV\n1\ta",
        "  /* SELECT */ -- SELECT\n INSERT INTO market.p SELECT 1, 'a'",
        "WITH 1 AS one INSERT INTO market.p SELECT one, 'a'",
        "INSERT INTO FUNCTION remote('127.0.0.1', market.p) VALUES (1, 'a')",
        "DROP TABLE market.p",
        "CREATE TABLE market.q (n UInt8) ENGINE = Memory",
        "ALTER TABLE market.p DELETE WHERE 1",
        "TRUNCATE TABLE market.p",
        "DELETE FROM market.p WHERE 1",
        "OPTIMIZE TABLE market.p",
        "RENAME TABLE market.p TO market.q",
        "SYSTEM FLUSH LOGS",
        "KILL QUERY WHERE 1",
        "SET readonly = 0",
    ],
)
@pytest.mark.parametrize("parameters", [{}, {"session_id": "get"}, {"readonly": "0"}])
def test_a_get_changes_nothing(
    http: ClickHouseHttp, table: str, sql: str, parameters: dict[str, str]
) -> None:
    http.ask(f"INSERT INTO {table} VALUES (7, 'kept')")
    for method in ("GET", "HEAD"):
        reply = http.send(method=method, query=sql, parameters=parameters)
        if sql != "SET readonly = 0" or "session_id" not in parameters:
            assert reply.headers["X-ClickHouse-Exception-Code"] == "164", reply.body
    assert http.ask(f"SELECT groupArray(n) FROM {table}") == "[7]"
    assert http.ask("EXISTS TABLE market.q") == "0"


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1; DROP TABLE market.p", "SELECT 1;\n-- x\nINSERT INTO market.p VALUES (1, 'a')"],
)
def test_a_second_statement_is_refused(http: ClickHouseHttp, table: str, sql: str) -> None:
    for method in ("GET", "POST"):
        assert http.send(method=method, query=sql).headers["X-ClickHouse-Exception-Code"] == "62"
    assert http.ask(f"EXISTS TABLE {table}") == "1"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SHOW TABLES FROM market",
        "EXPLAIN SELECT 1",
        "DESCRIBE market.p",
        "EXISTS market.p",
        "SELECT 1 ;",
    ],
)
def test_a_get_may_read(http: ClickHouseHttp, table: str, sql: str) -> None:
    assert table
    assert http.send(method="GET", query=sql, max_threads=2).status == 200


def test_settings_of_a_request_end_with_it(http: ClickHouseHttp) -> None:
    session = {"session_id": "lasting"}
    where = "SELECT currentDatabase(), getSetting('max_threads'), getSetting('max_block_size')"
    http.ask("SET max_block_size = 1234", **session)
    http.ask("USE market", **session)
    assert (
        http.ask(where, database="system", max_threads=7, max_block_size=99, **session)
        == "system\t7\t99"
    )
    assert http.ask(where, **session).startswith("market\t")
    assert http.ask(where, **session).endswith("\t1234")
    assert http.ask("USE system", database="market", **session) == ""
    assert http.ask("SELECT currentDatabase()", **session) == "system"
    http.ask("SET max_threads = 3", max_threads=7, **session)
    assert http.ask("SELECT getSetting('max_threads')", **session) == "3"
    assert (
        http.send("SELECT nonsense", max_threads=5, database="market", session_id="lasting").status
        == 404
    )
    assert http.ask(where, **session) == "system\t3\t1234"
    assert http.ask("SELECT currentDatabase()") == "default"


def test_the_time_zone_of_a_request_or_session_is_applied_and_sent(http: ClickHouseHttp) -> None:
    tokyo = {"session_timezone": "Asia/Tokyo"}
    sql = "SELECT toDateTime(0), toDateTime(0, 'UTC'), timezone()"
    for parameters in (tokyo, tokyo | {"session_id": "zoned"}):
        reply = http.send(sql, parameters=parameters)
        assert reply.headers["X-ClickHouse-Timezone"] == "Asia/Tokyo"
        assert reply.body == b"1970-01-01 09:00:00\t1970-01-01 00:00:00\tAsia/Tokyo\n"
    assert http.send(sql, session_id="zoned").headers["X-ClickHouse-Timezone"] == "UTC"
    http.ask("SET session_timezone = 'America/New_York'", session_id="zoned")
    assert http.send(sql, session_id="zoned").headers["X-ClickHouse-Timezone"] == "America/New_York"
    assert http.send(sql).headers["X-ClickHouse-Timezone"] == "UTC"


def test_unknown_sessions_and_invalid_timeouts_are_refused(http: ClickHouseHttp) -> None:
    assert (
        http.send("SELECT 1", session_id="new", session_check=1).headers[
            "X-ClickHouse-Exception-Code"
        ]
        == "372"
    )
    for seconds in ("3601", "x", "-1"):
        assert (
            http.send("SELECT 1", session_id="new", session_timeout=seconds).headers[
                "X-ClickHouse-Exception-Code"
            ]
            == "374"
        )


def test_health_paths_options_and_head_requests_are_answered(http: ClickHouseHttp) -> None:
    for path in ("/", "/ping", "/replicas_status"):
        assert http.send(method="GET", path=path, headers={}).body == b"Ok.\n"
        head = http.send(method="HEAD", path=path, headers={})
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "4")
    options = http.send(method="OPTIONS", headers={})
    assert (options.status, options.headers["Access-Control-Allow-Origin"]) == (204, "*")
    unknown = http.send(method="GET", path="/nowhere", headers={})
    assert (unknown.status, unknown.body[:26]) == (404, b"There is no handle /nowher")
    head = http.send(method="HEAD", query="SELECT 12345")
    assert (head.status, head.body, head.headers["X-ClickHouse-Format"]) == (
        200,
        b"",
        "TabSeparated",
    )


def test_credentials_given_in_two_ways_are_refused(http: ClickHouseHttp) -> None:
    password = http.settings.clickhouse_password.get_secret_value()
    keys = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": password}
    basic = {"Authorization": http.authorization()}
    assert http.send("SELECT 1", headers=keys).status == 200
    assert http.send("SELECT 1", headers={}, user="default", password=password).status == 200
    for headers, parameters in (
        (basic | keys, {}),
        (basic, {"user": "default"}),
        (keys, {"password": password}),
    ):
        assert (
            http.send("SELECT 1", headers=headers, parameters=parameters).headers[
                "X-ClickHouse-Exception-Code"
            ]
            == "516"
        )
    for token in ("x", b64encode(b"default:\xff").decode()):
        assert http.send("SELECT 1", headers={"Authorization": f"Basic {token}"}).status == 403


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"role": "admin"}, "511"),
        ({"client_protocol_version": "new"}, "36"),
        ({"buffer_size": "-1"}, "36"),
        ({"default_format": "TSV SETTINGS max_threads = 1"}, "73"),
        ({"default_format": "NoSuchFormat"}, "73"),
        ({"nonsense": "1"}, "115"),
        ({"max_threads'": "1"}, "115"),
        ({"database": "no`where"}, "81"),
    ],
)
def test_parameters_with_unusable_values_are_refused(
    http: ClickHouseHttp, parameters: dict[str, str], code: str
) -> None:
    assert (
        http.send("SELECT 1", parameters=parameters).headers["X-ClickHouse-Exception-Code"] == code
    )


def test_external_data_and_files_of_the_server_are_refused(http: ClickHouseHttp) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n--x--\r\n'
    headers = {
        "Authorization": http.authorization(),
        "Content-Type": "multipart/form-data; boundary=x",
    }
    assert (
        b"external data is not supported"
        in http.send(form, headers=headers, query="SELECT * FROM t", t_structure="n UInt8").body
    )
    assert b"INTO OUTFILE is not allowed" in http.send("SELECT 1 INTO OUTFILE '/tmp/x'").body
    assert (
        b"INFILE is not allowed"
        in http.send("INSERT INTO market.p FROM INFILE '/etc/passwd' FORMAT LineAsString").body
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


def test_wait_end_of_query_sends_the_answer_only_when_complete(http: ClickHouseHttp) -> None:
    sql = "SELECT number, throwIf(number = 3000000) FROM numbers({rows:UInt32})"
    assert http.send(sql, wait_end_of_query=1, param_rows=5_000_000).status == 500
    reply = http.send(sql, wait_end_of_query=1, param_rows=2_900_000)
    assert (
        int(reply.headers["Content-Length"])
        == len(reply.body)
        == sum(len(f"{number}\t0\n") for number in range(2_900_000))
    )
    assert json.loads(reply.headers["X-ClickHouse-Summary"])["result_rows"] == "2900000"


def test_statements_with_keywords_in_unusual_places_are_parsed(http: ClickHouseHttp) -> None:
    for sql, expected in (
        (
            "SELECT n FROM (SELECT 2 AS n, 1 AS format UNION ALL SELECT 1, 2) ORDER BY format DESC",
            "1\n2",
        ),
        ("SELECT 1 AS format SETTINGS max_threads = 1", "1"),
        ("SELECT 1 FORMAT JSONCompactEachRow SETTINGS max_threads = 1", "[1]"),
        ("SELECT 'FORMAT JSON' -- FORMAT JSON", "FORMAT JSON"),
        ("SELECT $$it's; FORMAT JSON$$ FORMAT TSV;", "it\\'s; FORMAT JSON"),
        ("FROM numbers(2) SELECT number FORMAT CSV", "0\n1"),
        ("(SELECT 1) UNION ALL (SELECT 1) FORMAT CSV", "1\n1"),
        ("SELECT 1 FORMAT Null", ""),
        ("SELECT 1 WHERE 0", ""),
    ):
        assert http.ask(sql) == expected
    assert http.send("", query="SELECT 1").body == b"1\n"
    assert http.send("+ 1", query="SELECT 1").body == b"2\n"
    assert http.send("1 + 1").headers["X-ClickHouse-Exception-Code"] == "62"
    assert http.send(path="/?query=SELECT%201&query=SELECT%202").body == b"1\n"
    assert (
        http.ask("SELECT length('" + "x" * 200_000 + "'), {a:String}", param_a="b\\tc")
        == "200000\tb\\tc"
    )


def test_block_compressor_and_decompressor_are_inverse() -> None:
    blocks = BlockCompressor()
    data = bytes(range(256)) * 10_000
    assert (
        decompress_blocks(blocks.compress(data) + blocks.compress(b"") + blocks.flush(), LIMIT)
        == data
    )
    assert blocks.flush() == b""
