"""Runs `polygon-assets dev` as a process with all its data, Dagster's included, in one folder."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from polygon_assets.local.launcher.ports import free_port


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
