"""Runs the connector as Airbyte does, in one process at a time, and parses its messages.

Expected records and errors belong to the tests.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polygon_assets.batch.airbyte.connector import Stream, provisioned_manifest, streams

Record = dict[str, Any]
State = dict[str, Any]
_RUN = "from airbyte_cdk.cli.source_declarative_manifest import run; run()"
_PATIENCE_SECONDS = 60


@dataclass
class Output:
    """A process's messages: records and last state by stream, errors, check and catalog."""

    code: int = 0
    records: dict[str, list[Record]] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    committed: dict[str, list[Record]] = field(default_factory=dict)
    """The records before the last state of their stream: Airbyte keeps these of a failed sync."""
    errors: list[str] = field(default_factory=list)
    connection: dict[str, str] = field(default_factory=dict)
    catalog: list[dict[str, Any]] = field(default_factory=list)

    def add(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "RECORD", "record": {"stream": stream, "data": data}}:
                self.records.setdefault(stream, []).append(data)
            case {
                "type": "STATE",
                "state": {"stream": {"stream_descriptor": {"name": stream}}} as state,
            }:
                self.states[stream] = state
                self.committed[stream] = list(self.records.get(stream, ()))
            case {"type": "TRACE", "trace": {"type": "ERROR", "error": {"message": text}}}:
                self.errors.append(text)
            case {"type": "CONNECTION_STATUS", "connectionStatus": status}:
                self.connection = status
            case {"type": "CATALOG", "catalog": {"streams": catalog}}:
                self.catalog = catalog

    def state_of(self, stream: str) -> State:
        content: State = self.states[stream]["stream"]["stream_state"]
        return content


@dataclass(frozen=True)
class Connector:
    """The connector with one configuration; `folder` is for its input files."""

    folder: Path
    config: Mapping[str, Any]
    max_retries: int = 0
    """Above 0: instead of the manifest's number, whose pauses take four minutes."""
    is_provisioned: bool = True
    """Whether the streams know the vendor's address, as `airbyte provision` tells it."""

    def with_config(self, **changes: object) -> "Connector":
        return replace(self, config={**self.config, **changes})

    @contextmanager
    def running(
        self, verb: str, names: Collection[str] = (), states: Collection[State] = ()
    ) -> Iterator["Running"]:
        """Start a process; it is killed at the end of `with` if it still runs."""
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        inputs = {"config": self.config, "catalog": _catalog(names), "state": list(states)}
        manifest = folder / "manifest.yaml"
        address = self.config["base_url"] if self.is_provisioned else ""
        text, retries = json.dumps(provisioned_manifest(address)), '"max_retries": 7'
        assert retries in text
        manifest.write_text(
            text.replace(retries, f'"max_retries": {self.max_retries}')
            if self.max_retries
            else text
        )
        command = [sys.executable, "-c", _RUN, verb, "--manifest-path", str(manifest)]
        for option in inputs if verb == "read" else ("config",):
            (folder / option).write_text(json.dumps(inputs[option]))
            command += [f"--{option}", str(folder / option)]
        with (
            (folder / "stderr").open("wb") as stderr,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process,
        ):
            try:
                yield Running(process)
            finally:
                process.kill()

    def run(self, verb: str, names: Collection[str] = (), states: Collection[State] = ()) -> Output:
        """Run a process to its end and return its messages."""
        with self.running(verb, names, states) as running:
            return running.finish()


class Running:
    """One process of the connector."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.output = Output()

    def read_until(self, is_enough: Callable[[Output], object]) -> None:
        """Read messages until the output `is_enough`, or until the process ends."""
        assert self._process.stdout
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                return  # the cut last line of a killed process
            self.output.add(json.loads(line))
            if is_enough(self.output):
                return

    def finish(self) -> Output:
        self.read_until(lambda _: False)
        self.output.code = self._process.wait(_PATIENCE_SECONDS)
        return self.output

    def kill(self) -> Output:
        """Kill the process as a crash would, and read what it had written by then."""
        self._process.kill()
        return self.finish()


def _catalog(names: Collection[str]) -> dict[str, Any]:
    return {"streams": [_configured(stream) for name, stream in streams().items() if name in names]}


def _configured(stream: Stream) -> dict[str, Any]:
    modes = ["full_refresh", "incremental"] if stream.cursor else ["full_refresh"]
    description = {"name": stream.name, "json_schema": {}, "supported_sync_modes": modes}
    return {"stream": description, "sync_mode": modes[-1], "destination_sync_mode": "append"}
