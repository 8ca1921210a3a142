"""The line of Dagster processes above a process, with real processes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from polygon_assets.defs.graph.dagster_processes import dagster_above, is_intact

CHAIN = """
import subprocess, sys, time
rest = sys.argv[1:]
print("started", flush=True)
if rest:
    subprocess.Popen([sys.executable, *rest])
time.sleep(60)
"""


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[list[psutil.Process]]:
    """dev > code server > run worker, top down; pytest, which is no Dagster process, is above."""
    scripts = [tmp_path / name for name in ("dagster", "dagster-code-server", "worker")]
    for script in scripts:
        script.write_text(CHAIN)
    command = [sys.executable, *map(str, scripts)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as top:
        assert top.stdout is not None
        for _ in scripts:
            top.stdout.readline()
        dev = psutil.Process(top.pid)
        family = [dev, *dev.children(recursive=True)]
        yield family
        for process in family:
            if process.is_running():
                process.kill()


def test_the_line_ends_below_the_first_process_that_is_not_dagsters(
    chain: list[psutil.Process],
) -> None:
    dev, code_server, worker = chain
    assert dagster_above(worker) == (code_server, dev)
    assert dagster_above(code_server) == (dev,)
    assert dagster_above(dev) == ()
    assert is_intact(dagster_above(worker))


def test_a_dagster_process_that_ends_breaks_the_line(chain: list[psutil.Process]) -> None:
    line = dagster_above(chain[-1])
    chain[0].kill()
    chain[0].wait(10)
    assert not is_intact(line)


def test_a_zombie_has_ended(chain: list[psutil.Process]) -> None:
    line = dagster_above(chain[-1])
    # Its parent only sleeps, so nobody collects the ended process.
    chain[1].kill()
    while chain[1].status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not is_intact(line)


def test_a_process_without_dagster_above_it_has_nothing_to_watch() -> None:
    assert is_intact(())
