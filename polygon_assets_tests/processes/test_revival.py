"""A server of the stack that dies, hangs or breaks inside: restarted or repaired, with a line.

Starts and stops of a whole stack belong to test_stack.
"""

import dataclasses
import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from polygon_assets.clients import clickhouse
from polygon_assets.local.launcher import revival as revival_module
from polygon_assets.local.launcher import stack as stack_module
from polygon_assets.local.launcher.revival import Revival, is_hopeless
from polygon_assets.local.launcher.stack import ServerFailedError, Stack, running_stack
from polygon_assets_tests.processes.listening_server import listener


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


@pytest.mark.long
def test_a_server_that_does_not_become_ready_again_is_started_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "START_SECONDS", 3.0)
    unready = {1}

    def is_healthy(_port: int) -> bool:
        return stack.restarts.get("slow", 0) not in unready

    slow = dataclasses.replace(listener("slow"), healthy=is_healthy)
    stack, lines = Stack(tmp_path, [slow], fixed_ports=False), list[str]()
    stack.start()
    try:
        revival = Revival(stack, lines.append)
        stack.process("slow").send(signal.SIGKILL)
        check_until(revival, partial(has_lines, lines, 3))
        assert lines[1] == "slow was not ready after 3 s, starting it once more"
        unready |= {3, 4}
        stack.process("slow").send(signal.SIGKILL)
        with pytest.raises(ServerFailedError, match="slow was not ready after 3 s"):
            check_until(revival, lambda: False)
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


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_part_that_a_full_disk_broke_is_read_again_from_those_it_was_merged_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, is_kept: bool
) -> None:
    """Without them each start names the loss and the cure. Blocks of two partitions alternate."""
    lines = list[str]()
    with running_stack(tmp_path, only=("clickhouse",), fixed_ports=False) as stack:
        revival = Revival(stack, lines.append)
        with closing(clickhouse.connect(stack.settings())) as client:
            client.command(
                "CREATE TABLE market.t (a UInt64) ENGINE = MergeTree ORDER BY a PARTITION BY a % 2"
            )
            for number in range(10):
                client.command(f"INSERT INTO market.t VALUES ({number})")
            client.command("OPTIMIZE TABLE market.t FINAL")
            parts = client.query(
                "SELECT active, name, path FROM system.parts WHERE table = 't' AND partition = '0'"
            ).result_rows
            ((broken, path),) = ((name, path) for active, name, path in parts if active)
            for marks in Path(path).glob("data.cmrk*"):
                marks.write_bytes(b"")
            client.command("SYSTEM DROP MARK CACHE")
            with pytest.raises(DatabaseError, match="CORRUPTED_DATA"):
                client.query("SELECT sum(a) FROM market.t")
        if not is_kept:
            for active, _, path in parts:
                if not active:
                    shutil.rmtree(path)
        check_until(revival, partial(has_lines, lines, 2))
        assert f"clickhouse has a broken part, {broken} of market.t, starting it again" in lines
        with closing(clickhouse.connect(stack.settings())) as client:
            rows = client.query("SELECT sum(a % 2 = 0), sum(a % 2 = 1) FROM market.t").result_rows
        assert rows == ([(5, 5)] if is_kept else [(0, 5)])
        assert ("a broken part of market.t, partition 0" in caplog.text) is not is_kept
        if not is_kept:
            cure = caplog.text.rpartition("then: ")[2].strip()
            with closing(clickhouse.connect(stack.settings())) as client:
                client.command(cure)
        caplog.clear()
        stack.restart("clickhouse")
        assert "broken part" not in caplog.text
