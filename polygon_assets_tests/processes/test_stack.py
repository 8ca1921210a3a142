"""The embedded stack: start, discovery by another shell, full stop.

Tests of one server's protocol belong to that server's own file, restarts to test_revival.
"""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import psutil
import pytest

from polygon_assets.clients import clickhouse, s3
from polygon_assets.clients.kafka import connect_admin
from polygon_assets.local.launcher import leftovers, state
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.servers import Server, embedded_servers
from polygon_assets.local.launcher.stack import ServerFailedError, Stack, running_stack
from polygon_assets.settings import Settings
from polygon_assets.topics import TOPICS
from polygon_assets_tests.processes.listening_server import listener

PYTHON = sys.executable


def listening_addresses(stack: Stack) -> set[str]:
    """The addresses on which the servers and their children listen."""
    servers = [psutil.Process(stack.process(name).pid) for name in stack.ports]
    return {
        connection.laddr.ip
        for server in servers
        for process in (server, *server.children(recursive=True))
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


def topics(settings: Settings) -> set[str]:
    admin = connect_admin(settings)
    try:
        return set(admin.list_topics())
    finally:
        admin.close()


@pytest.fixture
def no_umask() -> Iterator[None]:
    """The loosest umask: files get every right that their program asks for."""
    former = os.umask(0)
    yield
    os.umask(former)


def readable_by_others(folder: Path) -> list[Path]:
    """The folder and what it contains, as far as group or others have any right on it."""
    return [
        path
        for path in (folder, *folder.rglob("*"))
        if not path.is_symlink() and path.exists() and path.stat().st_mode & 0o077
    ]


@pytest.mark.usefixtures("no_umask")
def test_the_whole_stack_starts_complete_private_and_stops_without_a_trace(tmp_path: Path) -> None:
    former = tmp_path / "dagster" / "storage" / "runs.db"
    former.parent.mkdir(parents=True)
    for file in (former, tmp_path / "stack.lock"):
        file.touch()
    assert len(readable_by_others(tmp_path)) == 4
    with running_stack(tmp_path, fixed_ports=False) as stack:
        settings = stack.settings()
        assert readable_by_others(tmp_path) == []
        assert len(list(tmp_path.rglob("*"))) > 20
        assert listening_addresses(stack) == {HOST}
        pids = [stack.process(name).pid for name in stack.ports]
        assert {topic.name for topic in TOPICS} <= topics(settings)
        with clickhouse.connect(settings) as client:
            assert client.command("EXISTS TABLE market.stock_aggregates") == 1
        content = (
            s3.connect(settings)
            .get_object(Bucket=settings.subscriptions_bucket, Key=settings.subscriptions_key)[
                "Body"
            ]
            .read()
        )
        assert (
            content
            == resources.files("polygon_assets.local")
            .joinpath("sample_subscriptions.csv")
            .read_bytes()
        )
        assert (settings.market_calendar, settings.polygon_websocket_url) == (
            "24/7",
            f"ws://{HOST}:{stack.ports['exchange']}/stocks",
        )
        assert state.read_environment(tmp_path) == stack.environment()
    assert readable_by_others(tmp_path) == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(state.StackNotRunningError, match=r"no stack is running on .*stack up"):
        state.read_environment(tmp_path)


def test_each_variable_of_the_stack_is_a_setting() -> None:
    names = {name for server in embedded_servers() for name in server.variables(1)}
    assert names <= {field.upper() for field in Settings.model_fields}


def test_a_killed_broker_restarts_with_its_topics_on_the_same_port(tmp_path: Path) -> None:
    with running_stack(tmp_path, only=("kafka",), fixed_ports=False) as stack:
        stack.kill("kafka")
        stack.restart("kafka")
        assert {topic.name for topic in TOPICS} <= topics(stack.settings())


def test_objects_survive_a_killed_server_with_their_times(tmp_path: Path) -> None:
    with running_stack(tmp_path, only=("s3",), fixed_ports=False) as stack:
        bucket = stack.settings().subscriptions_bucket
        client = s3.connect(stack.settings())
        client.put_object(Bucket=bucket, Key="subscriptions/versions/ü ~1.json", Body=b"{}")
        client.put_object(Bucket=bucket, Key="subscriptions.csv", Body=b"channel,note\nA.SPY,\n")
        client.put_object(Bucket=bucket, Key="gone", Body=b"x")
        client.delete_object(Bucket=bucket, Key="gone")
        before = client.list_objects_v2(Bucket=bucket)["Contents"]
        stack.kill("s3")
        stack.restart("s3")
        after = client.list_objects_v2(Bucket=bucket)["Contents"]
        assert [(entry["Key"], entry["ETag"], entry["LastModified"]) for entry in after] == [
            (entry["Key"], entry["ETag"], entry["LastModified"]) for entry in before
        ]
        assert (
            client.get_object(Bucket=bucket, Key="subscriptions.csv")["Body"].read()
            == b"channel,note\nA.SPY,\n"
        )


def test_what_a_killed_server_leaves_stays_in_the_stacks_folder_until_its_next_start(
    tmp_path: Path,
) -> None:
    with running_stack(tmp_path, only=("s3",), fixed_ports=False) as stack:
        pid = stack.process("s3").pid
        temporary = Path(psutil.Process(pid).environ()["TMPDIR"])
        assert temporary == tmp_path / "temporary" / "s3"
        (temporary / "secret").touch()
        stack.kill("s3")
        stack.restart("s3")
        assert list(temporary.iterdir()) == []


def test_a_second_stack_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with running_stack(tmp_path, only=("kafka",), fixed_ports=False) as first:
        with pytest.raises(state.StackRunningError, match=rf"already \(pid {os.getpid()}\)"):
            Stack(tmp_path, embedded_servers()).start()
        assert state.read_environment(tmp_path) == first.environment()


def test_a_stale_state_file_is_ignored(tmp_path: Path) -> None:
    state.write(tmp_path, {"pid": 1, "environment": {"A": "b"}})
    with pytest.raises(state.StackNotRunningError):
        state.read_environment(tmp_path)


def test_what_a_killed_stack_left_running_is_ended_before_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    left, other = (
        subprocess.Popen([PYTHON, "-c", ignore], env=os.environ | {leftovers.MARK: str(folder)})
        for folder in (tmp_path, tmp_path / "another")
    )
    try:
        with running_stack(tmp_path, only=("exchange",), fixed_ports=False) as stack:
            assert not psutil.pid_exists(left.pid)
            assert "ended 1 processes that a killed stack had left" in caplog.text
            exchange = psutil.Process(stack.process("exchange").pid)
            assert exchange.environ()[leftovers.MARK] == str(tmp_path)
            assert leftovers.MARK not in stack.environment()
        assert other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


def test_a_server_added_later_finds_the_others_by_its_environment(tmp_path: Path) -> None:
    script = (
        "import os, socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
        "print(os.environ['first_PORT']); time.sleep(60)"
    )
    later = Server("later", 0, lambda port, _: [PYTHON, "-c", script, str(port)], lambda _: {})
    stack = Stack(tmp_path, [listener("first")], fixed_ports=False)
    stack.start()
    try:
        stack.add(later)
        while str(stack.ports["first"]) not in stack.process("later").last_lines():
            stack.check()
            time.sleep(0.02)
        pid = stack.process("later").pid
    finally:
        stack.stop()
    assert not Path(f"/proc/{pid}").exists()


def failing(name: str, script: str) -> Server:
    return Server(name, 0, lambda *_: [PYTHON, "-c", script], lambda _: {})


def test_a_failed_start_reports_the_server_with_its_log_and_stops_the_others(
    tmp_path: Path,
) -> None:
    stack = Stack(
        tmp_path,
        [listener("good"), failing("bad", "print('out of cheese'); raise SystemExit(3)")],
        fixed_ports=False,
    )
    with pytest.raises(
        ServerFailedError,
        match=r"(?s)bad ended by itself with code 3; the end of .*bad\.log:\nout of cheese",
    ):
        stack.start()
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, stack.ports["good"])) != 0
    state.lock(tmp_path).close()


def test_a_server_whose_port_another_process_took_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stays alive and its port answers: only the listener's pid reveals the stranger."""
    monkeypatch.setattr("polygon_assets.local.launcher.stack.START_SECONDS", 1.0)
    with socket.create_server((HOST, 0)) as stranger:
        port = stranger.getsockname()[1]
        stack = Stack(tmp_path, [failing("late", "import time; time.sleep(60)")], fixed_ports=False)
        monkeypatch.setattr("polygon_assets.local.launcher.stack.free_port", lambda *_: port)
        with pytest.raises(
            ServerFailedError,
            match=rf"late was not ready after 1 s \(another process listens on its port {port}\)",
        ):
            stack.start()


def test_a_taken_port_is_replaced_by_the_next_free_one_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port, {port + 1}) > port + 1
        stack = Stack(tmp_path, [listener("shifted", port)])
        with caplog.at_level(logging.WARNING):
            stack.start()
        stack.stop()
    assert f"port {port} is taken: shifted uses {stack.ports['shifted']}" in caplog.text
