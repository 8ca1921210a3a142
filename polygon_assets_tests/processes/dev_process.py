"""Runs `polygon-assets dev` as a process with all its data, Dagster's included, in one folder.

Add a question to a running `dev` here, asked by the command line or as the UI asks it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
import requests

from polygon_assets.local.launcher import stack
from polygon_assets.local.launcher.ports import free_port
from polygon_assets_tests.processes.harness import eventually

COMMAND = [sys.executable, "-m", "polygon_assets.cli"]
START_SECONDS = 400.0
"""Dagster loads, its sensors tick and four runs start: 40 s on a quiet machine, 170 s on a busy
one."""


@contextmanager
def running_dev(
    data: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A running `dev` that logs to dev.log; at the end it gets SIGINT and must leave no process."""
    process = start_dev(data, *options, environment=environment)
    yield process
    children = (
        psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def start_dev(
    data: Path, *options: str, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start `dev` on a folder, which may have the data of an earlier one; it logs to dev.log."""
    home = _dagster_home(data)
    port = str(free_port(0, set()))
    kafka = ["--kafka", stack.DEFAULT_KAFKA]
    places = ["--data", str(data), "--port", port, "--project", str(home)]
    with (data / "dev.log").open("ab") as log:
        return subprocess.Popen(
            [*COMMAND, "dev", "--no-demonstration", *kafka, *places, *options],
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def _dagster_home(data: Path) -> Path:
    """A folder with the project's dagster.yaml and workspace.yaml, for Dagster's own data."""
    project, home = Path(__file__).parents[2], data / "home"
    home.mkdir(exist_ok=True)
    for name in ("dagster.yaml", "workspace.yaml"):
        text = (project / name).read_text()
        (home / name).write_text(
            text.replace("working_directory: .", f"working_directory: {project}")
        )
    return home


def run_cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def environment_of(data: Path) -> dict[str, str]:
    """The variables that `stack env` prints, parsed as a shell would."""
    state = data / "stack.json"
    return _environment(data, state.stat().st_mtime_ns if state.exists() else 0)


@lru_cache
def _environment(data: Path, _written_at: int) -> dict[str, str]:
    """Asked once for each state of the stack, because the command takes a second of CPU time."""
    lines = run_cli("stack", "env", "--data", str(data)).stdout.splitlines()
    return dict(
        line.removeprefix("export ").replace("'", "").split("=", 1)
        for line in lines
        if line.startswith("export ")
    )


def status_of(data: Path) -> dict[str, Any]:
    """The facts that `status --json` prints; empty until the stack runs."""
    if not (data / "stack.json").exists():
        return {}
    answer = run_cli("status", "--json", **environment_of(data))
    facts: dict[str, Any] = json.loads(answer.stdout)
    assert answer.returncode == (0 if facts["healthy"] else 1)
    return facts


def wait_until_healthy(data: Path) -> None:
    """Wait for the first rows, which `dev` itself reports, and then for a healthy status."""

    def has_rows() -> bool:
        return "in another shell: " in (data / "dev.log").read_text()

    eventually(has_rows, f"the first rows; {data / 'dev.log'}", START_SECONDS)
    eventually(lambda: status_of(data).get("healthy"), "all is up", START_SECONDS)


def address_of(data: Path) -> str:
    """The UI's address that the command printed."""
    lines = [line.split() for line in (data / "dev.log").read_text().splitlines()]
    return next(words[1] for words in lines if words[:1] == ["dagster"])


def ask_the_ui(data: Path, query: str, **variables: Any) -> dict[str, Any]:
    """The answer to a query as the UI's pages send it."""
    answer = requests.post(
        f"{address_of(data)}/graphql", json={"query": query, "variables": variables}, timeout=30
    ).json()
    assert "errors" not in answer, answer
    [result] = answer["data"].values()
    return dict(result)
