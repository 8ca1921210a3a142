"""The HTTP requests of the Java, Go and JDBC clients: headers, sessions, credentials, statements.

Compressed blocks and the Native format belong to test_clickhouse_blocks.py.
"""

import json
from base64 import b64encode

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from polygon_assets import market
from polygon_assets.local.launcher.servers import page
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.clickhouse_http import ClickHouseHttp

SERVERS = ("clickhouse",)


@pytest.fixture
def http(settings: Settings) -> ClickHouseHttp:
    return ClickHouseHttp(settings)


@pytest.fixture
def table(http: ClickHouseHttp) -> str:
    http.ask("CREATE OR REPLACE TABLE market.p (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    return "market.p"


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


CHANGES = pytest.mark.parametrize(
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
SETTINGS_OF_A_READER = pytest.mark.parametrize(
    "parameters", [{}, {"session_id": "reader"}, {"readonly": "0"}]
)


def as_the_page(settings: Settings) -> Settings:
    return settings.model_copy(update={"clickhouse_user": page().own_variables["CLICKHOUSE_USER"]})


@CHANGES
@SETTINGS_OF_A_READER
def test_the_reader_changes_nothing(
    http: ClickHouseHttp, settings: Settings, table: str, sql: str, parameters: dict[str, str]
) -> None:
    http.ask(f"INSERT INTO {table} VALUES (7, 'kept')")
    reader = ClickHouseHttp(as_the_page(settings))
    reply = reader.send(sql, parameters=parameters)
    if sql != "SET readonly = 0" or "session_id" not in parameters:
        assert reply.headers["X-ClickHouse-Exception-Code"] == "164", reply.body
    assert reader.ask(f"SELECT groupArray(n) FROM {table}") == "[7]"
    assert http.ask("EXISTS TABLE market.q") == "0"


def test_the_page_reads_as_the_reader(settings: Settings) -> None:
    with market.connect(as_the_page(settings)) as connection:
        assert market.last(connection=connection).num_rows == 0
        with pytest.raises(DatabaseError, match="READONLY"):
            connection.client.command("TRUNCATE TABLE market.stock_newest")


@CHANGES
@SETTINGS_OF_A_READER
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
