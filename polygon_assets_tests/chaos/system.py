"""A running `polygon-assets dev` that faults can find and strike: its processes, servers, disk.

Add a way to find or restart a part of the system here; what is done to it belongs to `faults`.
"""

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from polygon_assets.local.launcher.state import StackNotRunningError, read_environment
from polygon_assets.messages import PROGRAMS
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.dev_process import environment_of, run_cli, start_dev
from polygon_assets_tests.processes.harness import Exchange, eventually

MARKER = "CHAOS_RUN"
"""Every process of a run inherits this variable; so an orphan is found, wherever it hangs."""
START_SECONDS = 300.0
END_SECONDS = 60.0
ORPHAN_SECONDS = 100.0
"""Dagster's code servers end 75 s after the `dagster dev` that started them was killed."""
POLL_SECONDS = 0.5
SERVERS = ("exchange", "kafka", "clickhouse", "s3", "snowflake", "airbyte")
DAGSTER_PARTS = {
    "webserver": ("dagster_webserver",),
    "daemon": ("dagster._daemon",),
    "code server": ("api", "grpc"),
}
"""Words of the command line of each process of Dagster."""


@dataclass
class System:
    """One `dev` after the other on the same folder."""

    folder: Path
    options: Sequence[str]
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    dev: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start `dev` and return once its servers are ready."""
        self.dev = start_dev(
            self.folder, *self.options, environment=os.environ | {MARKER: self.run_id}
        )
        eventually(self._is_up, "the stack is up", START_SECONDS)

    def stop(self, number: signal.Signals) -> None:
        """Send `dev` a signal and wait for its end; its children may take longer."""
        assert self.dev is not None
        self.dev.send_signal(number)
        self.dev.wait(END_SECONDS)

    def orphans(self) -> list[str]:
        """The processes that are left after ORPHAN_SECONDS without `dev`."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return [_described(process) for process in left]

    def kill_all(self) -> None:
        """Kill whatever is left of the run."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def settings(self) -> Settings:
        """The settings of the running stack."""
        environment = read_environment(self.folder)
        return Settings.model_validate({key.lower(): text for key, text in environment.items()})

    def exchange(self) -> Exchange:
        return Exchange(int(self.state()["servers"]["exchange"]["port"]))

    def state(self) -> dict[str, Any]:
        """What the stack writes about its servers."""
        state: dict[str, Any] = json.loads((self.folder / "stack.json").read_text())
        return state

    def command(self, *arguments: str) -> str:
        """Run the command line beside the stack. Raises AssertionError with its errors."""
        answer = run_cli(*arguments, **environment_of(self.folder))
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def processes(self) -> list[psutil.Process]:
        """Every living process of the run."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def roles(self) -> dict[str, psutil.Process]:
        """The processes that must run, by name; a role whose process is away is missing."""
        by_role = dict(self._servers())
        if self.dev is not None:
            with suppress(psutil.NoSuchProcess):
                by_role["dev"] = psutil.Process(self.dev.pid)
        for process in self.processes():
            with suppress(psutil.Error):
                if role := role_of(process.cmdline()):
                    by_role[role] = process
                if role in PROGRAMS and (parent := process.parent()) and is_run(parent.cmdline()):
                    by_role[f"run of {role}"] = parent
        return by_role

    def _servers(self) -> Iterator[tuple[str, psutil.Process]]:
        with suppress(FileNotFoundError):
            for name, server in self.state()["servers"].items():
                with suppress(psutil.NoSuchProcess):
                    yield name, psutil.Process(server["pid"])

    def _is_up(self) -> bool:
        assert self.dev is not None
        assert self.dev.poll() is None, (self.folder / "dev.log").read_text()[-3000:]
        try:
            read_environment(self.folder)
        except StackNotRunningError:
            return False
        return "dagster" in self.state()["servers"]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get(MARKER) == self.run_id
            )
        except psutil.Error:
            return False


def _described(process: psutil.Process) -> str:
    """The command line of a process, its age and its state."""
    with process.oneshot():
        try:
            return f"{process.pid} ({process.status()}) {' '.join(process.cmdline())[:200]}"
        except psutil.Error:
            return f"{process.pid} (ended)"


def role_of(command: Sequence[str]) -> str:
    """What a process is for, by its command line; empty for servers and helpers."""
    if is_run(command):
        return ""
    if "stream" in command and command[-1] in PROGRAMS:
        return command[-1]
    for part, words in DAGSTER_PARTS.items():
        if all(any(word in text for text in command) for word in words):
            return part
    return ""


def is_run(command: Sequence[str]) -> bool:
    """Whether a process executes a run of Dagster, which forks it."""
    return "--multiprocessing-fork" in command


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[bool]:
    """Mount a small file system on the folder, if the machine allows it; whether it did."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0700", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
