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
from pathlib import Path
from typing import Any

import psutil
import requests

from polygon_assets.local.launcher.ports import free_port

COMMAND = [sys.executable, "-m", "polygon_assets.cli"]
START_SECONDS = 150.0
"""Dagster loads, its sensors tick and four runs start, on a machine busy with other tests."""


@contextmanager
def running_dev(
    data: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A running `dev` that logs to dev.log; at the end it gets SIGINT and must leave no process."""
    project, home = Path(__file__).parents[2], data / "home"
    home.mkdir()
    for name in ("dagster.yaml", "workspace.yaml"):
        (home / name).write_text(
            (project / name)
            .read_text()
            .replace("working_directory: .", f"working_directory: {project}")
        )
    port = str(free_port(33000, set()))
    command = [
        sys.executable,
        "-m",
        "polygon_assets.cli",
        "dev",
        "--data",
        str(data),
        "--port",
        port,
        "--project",
        str(home),
        *options,
    ]
    with (data / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=home, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
    yield process
    children = (
        psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def run_cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment_of(data: Path) -> dict[str, str]:
    """The variables that `stack env` prints, parsed as a shell would."""
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


def address_of(data: Path) -> str:
    """The UI's address that the command printed."""
    return next(
        word
        for word in (data / "dev.log").read_text().split()
        if word.startswith("http://127.0.0.1:33")
    )


def ask_the_ui(data: Path, query: str, **variables: Any) -> dict[str, Any]:
    """The answer to a query as the UI's pages send it."""
    answer = requests.post(
        f"{address_of(data)}/graphql", json={"query": query, "variables": variables}, timeout=30
    ).json()
    assert "errors" not in answer, answer
    [result] = answer["data"].values()
    return dict(result)
