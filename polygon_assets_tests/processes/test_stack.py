"""The embedded stack: start, discovery by another shell, repair of a broken server, full stop.

Tests of one server's protocol belong to that server's own file.
"""

import dataclasses
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import resources
from pathlib import Path

import psutil
import pytest

from polygon_assets.clients import clickhouse, s3
from polygon_assets.clients.kafka import connect_admin
from polygon_assets.local.launcher import revival as revival_module
from polygon_assets.local.launcher import state
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.process import Process
from polygon_assets.local.launcher.revival import Revival, is_hopeless
from polygon_assets.local.launcher.servers import Server, embedded_servers
from polygon_assets.local.launcher.stack import ServerFailedError, Stack, running_stack
from polygon_assets.settings import Settings
from polygon_assets.topics import TOPICS

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


def test_a_second_stack_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with running_stack(tmp_path, only=("kafka",), fixed_ports=False) as first:
        with pytest.raises(state.StackRunningError, match=rf"already \(pid {os.getpid()}\)"):
            Stack(tmp_path, embedded_servers()).start()
        assert state.read_environment(tmp_path) == first.environment()


def test_a_stale_state_file_is_ignored(tmp_path: Path) -> None:
    state.write(tmp_path, {"pid": 1, "environment": {"A": "b"}})
    with pytest.raises(state.StackNotRunningError):
        state.read_environment(tmp_path)


def listener(name: str, port: int = 0) -> Server:
    """A server that only accepts connections."""
    script = (
        "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
        "print('listening'); time.sleep(60)"
    )
    return Server(
        name,
        port,
        lambda port, _: [PYTHON, "-c", script, str(port)],
        lambda port: {f"{name}_PORT": str(port)},
    )


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
        ServerFailedError, match=r"(?s)bad ended by itself with code 3; .*bad\.log:\nout of cheese"
    ):
        stack.start()
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, stack.ports["good"])) != 0
    state.lock(tmp_path).close()


def check_until(revival: Revival, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        revival.check()
        time.sleep(0.02)


def test_a_server_that_dies_is_restarted_with_a_line_until_its_third_death_ends_the_stack(
    tmp_path: Path,
) -> None:
    doomed = dataclasses.replace(listener("doomed"), lost_on_restart="its memory is empty")
    stack, lines = Stack(tmp_path, [listener("good"), doomed], fixed_ports=False), list[str]()
    stack.start()
    try:
        revival, good = Revival(stack, lines.append), stack.process("good").pid
        for death in (1, 2):
            before = stack.process("doomed").pid
            stack.process("doomed").send(signal.SIGKILL)
            check_until(revival, partial(has_lines, lines, 2 * death))
            assert lines[-2] == "doomed died (exit code -9), starting it again"
            assert re.fullmatch(r"doomed is back after \d+ s; its memory is empty", lines[-1])
            assert stack.process("doomed").pid != before
            written = json.loads((tmp_path / "stack.json").read_text())
            assert (written["restarts"], written["servers"]["doomed"]["pid"]) == (
                {"doomed": death},
                stack.process("doomed").pid,
            )
        stack.process("doomed").send(signal.SIGKILL)
        with pytest.raises(
            ServerFailedError,
            match=r"(?s)doomed died \(exit code -9\), 3 times within 5 minutes.*listening",
        ):
            check_until(revival, lambda: False)
        assert stack.process("good").pid == good
    finally:
        stack.stop()


def has_lines(lines: list[str], count: int) -> bool:
    return len(lines) == count


def test_a_server_that_hangs_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revival_module, "HUNG_SECONDS", 0.2)
    monkeypatch.setattr(revival_module, "CHECK_SECONDS", 0.05)
    healthy, lines = [True], list[str]()

    def show(line: str) -> None:
        lines.append(line)
        healthy[0] = True

    stack = Stack(
        tmp_path,
        [dataclasses.replace(listener("hanging"), healthy=lambda _: healthy[0])],
        fixed_ports=False,
    )
    stack.start()
    try:
        revival, before = Revival(stack, show), stack.process("hanging").pid
        revival.check()
        healthy[0] = False
        check_until(revival, lambda: len(lines) == 2)
        assert lines[0] == "hanging did not answer for 0 s, starting it again"
        assert stack.process("hanging").pid != before
    finally:
        stack.stop()


def test_a_repair_inside_a_server_prints_a_line(tmp_path: Path) -> None:
    broken, lines = ["the code location was reloaded", ""], list[str]()
    stack = Stack(
        tmp_path,
        [dataclasses.replace(listener("dagster"), repair=lambda _: broken.pop(0))],
        fixed_ports=False,
    )
    stack.start()
    try:
        Revival(stack, lines.append).check()
    finally:
        stack.stop()
    assert lines == ["dagster: the code location was reloaded"]


@pytest.mark.parametrize(
    ("deaths", "hopeless"),
    [
        ([100], False),
        ([0, 100], False),
        ([0, 50, 100], True),
        ([0, 350, 400], False),
        ([0, 100, 350, 390], True),
    ],
)
def test_three_deaths_within_five_minutes_are_hopeless(deaths: list[float], hopeless: bool) -> None:
    assert is_hopeless(deaths, deaths[-1]) is hopeless


def test_a_server_whose_port_another_process_took_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stays alive and its port answers: only the listener's pid reveals the stranger."""
    monkeypatch.setattr("polygon_assets.local.launcher.stack.START_SECONDS", 1.0)
    with socket.create_server((HOST, 0)) as stranger:
        port = stranger.getsockname()[1]
        stack = Stack(tmp_path, [failing("late", "import time; time.sleep(60)")], fixed_ports=False)
        monkeypatch.setattr("polygon_assets.local.launcher.stack.free_port", lambda *_: port)
        with pytest.raises(ServerFailedError, match="late was not ready after 1 s"):
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


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only its entry waits for a parent that collects it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_nothing_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    """The owner gets SIGKILL and cannot stop anything itself: the kernel must end the server."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from polygon_assets.local.launcher.process import Process\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "print(Process(sleep, {}, Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    child = int(owner.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 5
    while not has_ended(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready'); time.sleep(60)"
    )
    process = Process([sys.executable, "-c", stubborn], {}, tmp_path / "log")
    while "ready" not in process.last_lines():
        time.sleep(0.02)
    process.stop(0.2)
    assert process.exit_code == -signal.SIGKILL


def test_a_stop_waits_for_what_delivers_and_kills_what_hangs(tmp_path: Path) -> None:
    """On a full disk Dagster's code server hangs, while a stream program still delivers."""
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    hang = f"{ignore} print('hangs', flush=True); time.sleep(60)"
    deliver = (
        "import pathlib, signal, sys, time\n"
        "def end(*_): time.sleep(1); pathlib.Path(sys.argv[2]).write_text('all'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('delivers', flush=True); time.sleep(60)"
    )
    parent = (
        "import signal, subprocess, sys, time\n"
        "hang, deliver = (subprocess.Popen([sys.executable, '-c', *a]) for a in"
        f" ([{hang!r}], [{deliver!r}, 'deliver', sys.argv[1]]))\n"
        "signal.signal(signal.SIGTERM, lambda *_: (deliver.terminate(), sys.exit()));"
        "print(hang.pid, flush=True); time.sleep(60)"
    )
    delivered = tmp_path / "delivered"
    process = Process([PYTHON, "-c", parent, str(delivered)], {}, tmp_path / "log")
    while not {"hangs", "delivers"} <= set(process.last_lines().split()):
        time.sleep(0.02)
    pid = next(int(word) for word in process.last_lines().split() if word.isdigit())
    began = time.monotonic()
    process.stop_tree(40, lambda command: "deliver" in command)
    assert delivered.read_text() == "all"
    assert has_ended(pid)
    assert time.monotonic() - began < 20, "it waited for the process that hangs"
