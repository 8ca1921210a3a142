"""Clients of the embedded ClickHouse may leave at any time without effect on other clients."""

import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

import pytest

from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.clickhouse_http import TIMEOUT_SECONDS, ClickHouseHttp
from polygon_assets_tests.processes.harness import eventually

SERVERS = ("clickhouse",)
# Minutes of work for the engine: a query that ends within a test was therefore cancelled.
ENDLESS_ROWS = "SELECT number, toString(number) AS s FROM numbers(100000000000)"
ENDLESS_COUNT = "SELECT count() FROM numbers(100000000000000) WHERE sipHash64(number) = 1"
FORMATS = [
    *("TabSeparated", "CSVWithNames", "JSON", "JSONEachRow", "Native"),
    *("RowBinaryWithNamesAndTypes", "Arrow", "ArrowStream", "XML"),
]
# A fault that no request can cause any more: closing a stream after its connection.
BREAK_THE_ENGINE = """
import sys, threading, time
from polygon_assets.local.clickhouse import __main__ as server, engine
opened = engine.Engine.__init__
def break_it(self):
    connection = self._open_connection(self._address)
    stream = connection.send_query("SELECT number FROM numbers(500000000)", "TabSeparated")
    stream.fetch()
    connection.close()
    stream.close()
def open_and_break(self, path):
    opened(self, path)
    threading.Timer(1.0, break_it, [self]).start()
engine.Engine.__init__ = open_and_break
sys.exit(server.main())
"""


@pytest.fixture
def http(settings: Settings) -> ClickHouseHttp:
    return ClickHouseHttp(settings)


def assert_unharmed(http: ClickHouseHttp) -> None:
    eventually(lambda: http.running() == 0, "the queries of clients that have left are cancelled")
    assert http.ask("SELECT 1") == "1"
    assert http.send(method="GET", path="/ping", headers={}).status == 200


def leave(connection: socket.socket, *, reset: bool = False) -> None:
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("output_format", FORMATS)
def test_a_reader_may_leave_in_any_format(
    http: ClickHouseHttp, output_format: str, version: str
) -> None:
    connection = http.open(f"{ENDLESS_ROWS} FORMAT {output_format}", version=version)
    assert connection.recv(100)
    leave(connection)
    assert_unharmed(http)


@pytest.mark.parametrize(
    "parameters",
    [
        "?compress=1",
        "?enable_http_compression=1",
        "?client_protocol_version=54460&default_format=Native",
        "?session_id=left",
    ],
)
def test_a_reader_may_leave_with_any_parameters(http: ClickHouseHttp, parameters: str) -> None:
    connection = http.open(ENDLESS_ROWS, parameters=parameters)
    assert connection.recv(100)
    leave(connection, reset=True)
    assert_unharmed(http)
    eventually(
        lambda: http.send("SELECT 1", session_id="left").status == 200, "the session is free again"
    )


@pytest.mark.parametrize(
    "sql", [ENDLESS_COUNT, f"{ENDLESS_ROWS} WHERE sipHash64(s) = 1 FORMAT Native"]
)
@pytest.mark.parametrize("reset", [True, False])
def test_a_client_may_leave_before_the_first_byte(
    http: ClickHouseHttp, sql: str, reset: bool
) -> None:
    connection = http.open(sql)
    eventually(lambda: http.running() == 1, "the query runs")
    leave(connection, reset=reset)
    assert_unharmed(http)


def test_a_client_may_leave_at_once(http: ClickHouseHttp) -> None:
    for _ in range(10):
        leave(http.open(ENDLESS_ROWS), reset=True)
    assert_unharmed(http)


def test_many_may_leave_at_the_same_time(http: ClickHouseHttp) -> None:
    def read_a_little(number: int) -> None:
        connection = http.open(f"{ENDLESS_ROWS} FORMAT {FORMATS[number % len(FORMATS)]}")
        assert connection.recv(100)
        leave(connection, reset=number % 2 == 0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read_a_little, range(12)))
    assert_unharmed(http)


def test_an_upload_that_is_cut_off_inserts_nothing(http: ClickHouseHttp) -> None:
    http.ask("CREATE OR REPLACE TABLE market.cut (n UInt64) ENGINE = MergeTree ORDER BY n")
    for reset in (True, False):
        connection = socket.create_connection(
            (HOST, http.settings.clickhouse_port), timeout=TIMEOUT_SECONDS
        )
        head = (
            "POST /?query=INSERT%20INTO%20market.cut%20FORMAT%20TSV HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {http.authorization()}\r\n"
        )
        connection.sendall(
            f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"4\r\n1\n2\n\r\n" * 1000
        )
        leave(connection, reset=reset)
    assert_unharmed(http)
    assert http.ask("SELECT count() FROM market.cut") == "0"


def test_an_error_in_the_middle_ends_the_answer_without_a_last_chunk(
    http: ClickHouseHttp,
) -> None:
    connection = HTTPConnection(HOST, http.settings.clickhouse_port, timeout=TIMEOUT_SECONDS)
    sql = "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)"
    connection.request("POST", "/", sql, {"Authorization": http.authorization()})
    answer = connection.getresponse()
    tag = answer.headers["X-ClickHouse-Exception-Tag"]
    with pytest.raises(IncompleteRead) as cut:
        answer.read()
    connection.close()
    assert answer.status == 200
    assert f"\r\n__exception__\r\n{tag}\r\nCode: 395. DB::Exception: ".encode() in cut.value.partial
    assert cut.value.partial.endswith(f" {tag}\r\n__exception__\r\n".encode())
    assert_unharmed(http)


@pytest.mark.parametrize(
    "output_format",
    ["TabSeparated", "JSON", "Native", "Parquet", "RowBinaryWithNamesAndTypes", "Null"],
)
def test_an_early_error_has_its_status_in_every_format(
    http: ClickHouseHttp, output_format: str
) -> None:
    reply = http.send(f"SELECT throwIf(number = 3) FROM numbers(5) FORMAT {output_format}")
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (500, "395")
    assert reply.body.startswith(b"Code: 395. DB::Exception: ")


def test_a_query_can_be_killed_by_the_id_that_its_client_gave(http: ClickHouseHttp) -> None:
    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(http.send, ENDLESS_COUNT, query_id="it's mine")
        eventually(lambda: http.running() == 1, "the query runs")
        assert (
            http.send("SELECT 1", query_id="it's mine").headers["X-ClickHouse-Exception-Code"]
            == "216"
        )
        assert "it" not in http.ask("KILL QUERY WHERE query_id = 'another' SYNC")
        assert http.ask("KILL QUERY WHERE query_id = 'it\\'s mine' SYNC").startswith("finished")
        assert killed.result().headers["X-ClickHouse-Exception-Code"] == "394"
    assert_unharmed(http)


def test_a_query_that_exceeds_its_time_gets_status_408(http: ClickHouseHttp) -> None:
    reply = http.send(ENDLESS_COUNT, max_execution_time=1)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (408, "159")
    assert_unharmed(http)


def test_a_busy_engine_answers_the_health_checks(http: ClickHouseHttp) -> None:
    connections = [http.open(ENDLESS_COUNT) for _ in range(6)]
    eventually(lambda: http.running() == 6, "the queries run")
    for path in ("/ping", "/replicas_status"):
        reply = http.send(method="GET", path=path, headers={})
        assert (reply.status, reply.body) == (200, b"Ok.\n")
    for connection in connections:
        leave(connection)
    assert_unharmed(http)


def test_a_process_whose_engine_has_died_logs_the_cause_and_ends(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        BREAK_THE_ENGINE,
        "--port",
        str(free_port(0, set())),
        "--path",
        str(tmp_path / "data"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 3, ended.stderr
    assert "the engine has died and answers no query any more; ending with code 3" in ended.stderr
    assert "Code: 236" in ended.stderr


def test_readers_that_stay_get_complete_answers_while_others_leave(http: ClickHouseHttp) -> None:
    stop = threading.Event()

    def leave_again_and_again() -> None:
        while not stop.is_set():
            connection = http.open(ENDLESS_ROWS)
            connection.recv(100)
            leave(connection)

    with ThreadPoolExecutor(2) as pool:
        leavers = [pool.submit(leave_again_and_again) for _ in range(2)]
        try:
            for _ in range(5):
                body = http.ask("SELECT number FROM numbers(1000000)")
                assert (body.count("\n"), body[-7:]) == (999_999, "\n999999")
        finally:
            stop.set()
        for leaver in leavers:
            leaver.result()
    assert_unharmed(http)
