"""The embedded ClickHouse as a process: crash and shutdown, broken requests, concurrent clients."""

import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import OperationalError

from polygon_assets.clients import clickhouse
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings

SERVERS = ("clickhouse",)
INSERT = b"INSERT INTO market.t FORMAT TSV\n"


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    client = clickhouse.connect(settings)
    client.command("CREATE OR REPLACE TABLE market.t (n UInt64) ENGINE = MergeTree ORDER BY n")
    yield client
    client.close()
    client.close_connections()


def count(client: Client) -> int:
    return int(str(client.command("SELECT count() FROM market.t")))


def send(settings: Settings, head: str, body: bytes) -> bytes:
    """Send a hand-made request, close the connection for writing, return the whole answer."""
    token = b64encode(
        f"{settings.clickhouse_user}:{settings.clickhouse_password.get_secret_value()}".encode()
    ).decode()
    with socket.create_connection((HOST, settings.clickhouse_port), timeout=10) as connection:
        connection.sendall(
            f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\n{head}\r\n\r\n".encode()
            + body
        )
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: {more}", b"1\n2\n3\n"),
        ("Transfer-Encoding: chunked", b"5\r\n1\n2\n3"),
        ("Transfer-Encoding: chunked", b"6\r\n1\n2\n3\n\r\n"),
    ],
    ids=["shorter than announced", "ends within a chunk", "ends between chunks"],
)
def test_a_truncated_insert_inserts_nothing(
    client: Client, settings: Settings, head: str, body: bytes
) -> None:
    statement = b"%x\r\n%b\r\n" % (len(INSERT), INSERT) if "chunked" in head else INSERT
    body = statement + body
    assert send(settings, head.format(more=len(body) + 2), body) == b""
    assert count(client) == 0


def test_a_truncated_compressed_insert_inserts_nothing(client: Client, settings: Settings) -> None:
    import lz4.frame

    body = lz4.frame.compress(INSERT + b"1\n" * 10_000)[:-6]
    assert send(settings, f"Content-Encoding: lz4\r\nContent-Length: {len(body)}", body) == b""
    assert count(client) == 0


def test_a_complete_hand_made_request_is_answered(client: Client, settings: Settings) -> None:
    body = INSERT + b"1\n2\n"
    answer = send(settings, f"Content-Length: {len(body)}", body)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"written_rows": "2"' in answer
    assert count(client) == 2


def test_ping_needs_no_password_and_queries_take_it_from_headers_or_url(settings: Settings) -> None:
    password = settings.clickhouse_password.get_secret_value()
    for path, headers, status, body in (
        ("/ping", {}, 200, b"Ok.\n"),
        ("/?query=SELECT%201", {}, 403, None),
        (
            "/?query=SELECT%201",
            {"X-ClickHouse-User": "default", "X-ClickHouse-Key": password},
            200,
            b"1\n",
        ),
        (
            f"/?query=SELECT%201%20FORMAT%20JSONEachRow&user=default&password={password}",
            {},
            200,
            b'{"1":1}\n',
        ),
    ):
        connection = HTTPConnection(HOST, settings.clickhouse_port, timeout=10)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert (answer.status, body) == (status, answer.read() if body else None)
        connection.close()


def test_acknowledged_rows_survive_sigkill(client: Client, stack: Stack) -> None:
    """After SIGKILL during inserts the table has every acknowledged insert and at most one more."""
    acknowledged = 0
    killer = threading.Timer(0.4, lambda: stack.kill("clickhouse"))
    killer.start()
    with suppress(OperationalError):
        while True:
            client.raw_insert("market.t", insert_block="1\n" * 100, fmt="TSV")
            acknowledged += 100
    killer.join()
    stack.restart("clickhouse")
    assert acknowledged > 0
    assert count(client) in (acknowledged, acknowledged + 100)


def test_sigterm_ends_the_server_with_code_0_and_keeps_the_rows(
    client: Client, stack: Stack
) -> None:
    client.raw_insert("market.t", insert_block="1\n2\n", fmt="TSV")
    process = stack.process("clickhouse")
    process.stop(20)
    assert process.exit_code == 0
    stack.restart("clickhouse")
    assert count(client) == 2


def test_sigterm_waits_for_a_running_query(
    client: Client, settings: Settings, stack: Stack
) -> None:
    answers: list[object] = []

    def ask() -> None:
        with clickhouse.connect(settings) as own:
            answers.append(own.command("SELECT sleep(1.5)"))

    asking = threading.Thread(target=ask)
    asking.start()
    while (
        client.command("SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep(1.5)%'")
        == 0
    ):
        time.sleep(0.05)
    process = stack.process("clickhouse")
    process.stop(20)
    asking.join()
    stack.restart("clickhouse")
    assert (process.exit_code, answers) == (0, [0])


def run_server(path: Path, port: int) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "polygon_assets.local.clickhouse",
        "--port",
        str(port),
        "--path",
        str(path),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_directory_in_use_is_refused_with_the_owners_pid(stack: Stack) -> None:
    refused = run_server(stack.data_dir / "clickhouse", free_port(0, set()))
    assert refused.returncode == 1
    assert f"is in use by another process (pid {stack.process('clickhouse').pid})" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_in_use_is_refused(tmp_path: Path, settings: Settings) -> None:
    refused = run_server(tmp_path / "data", settings.clickhouse_port)
    assert refused.returncode == 1
    assert f"{HOST}:{settings.clickhouse_port} cannot be listened on" in refused.stderr


def query_until(
    settings: Settings, stop: threading.Event, problems: list[str], counts: list[int]
) -> None:
    """Report a count that shrinks, and a block of 500 equal rows that is visible only in part."""
    previous = 0
    with clickhouse.connect(settings) as client:
        while not stop.is_set():
            total, partial = client.query(
                "SELECT sum(c), countIf(c != 500) "
                "FROM (SELECT count() AS c FROM market.t GROUP BY n)"
            ).result_rows[0]
            if total < previous or partial:
                problems.append(f"{total} rows after {previous}, {partial} partial blocks")
            previous = total
            counts.append(total)


def test_readers_see_only_whole_blocks_while_a_client_writes(
    client: Client, settings: Settings
) -> None:
    stop, problems, counts = threading.Event(), list[str](), list[int]()
    readers = [
        threading.Thread(target=query_until, args=(settings, stop, problems, counts))
        for _ in range(4)
    ]
    for reader in readers:
        reader.start()
    try:
        blocks = 60
        for block in range(blocks):
            client.raw_insert("market.t", insert_block=f"{block}\n" * 500, fmt="TSV")
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert problems == []
    assert count(client) == 500 * blocks
    assert len(counts) > 4
