"""Runs the connector as Airbyte does, a process at a time, and takes its messages apart.

What it must have said is in the tests.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polygon_assets.batch.airbyte.connector import MANIFEST, Stream, streams

Record = dict[str, Any]
State = dict[str, Any]
_RUN = "from airbyte_cdk.cli.source_declarative_manifest import run; run()"
_PATIENCE_SECONDS = 60


@dataclass
class Output:
    """What one process has said: records by stream, the last state of each stream, and the sentences for people."""

    code: int = 0
    records: dict[str, list[Record]] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    committed: dict[str, list[Record]] = field(default_factory=dict)
    """The records before the last state of their stream: those that Airbyte keeps of a sync that has failed."""
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
            case {"type": "CATALOG", "catalog": {"streams": found}}:
                self.catalog = found

    def state_of(self, stream: str) -> State:
        content: State = self.states[stream]["stream"]["stream_state"]
        return content


@dataclass(frozen=True)
class Connector:
    """The connector with one configuration; `folder` takes the files it is given."""

    folder: Path
    config: Mapping[str, Any]
    max_retries: int = 0
    """Above 0: in place of the manifest's, whose pauses take four minutes."""

    def with_config(self, **changes: object) -> "Connector":
        return Connector(self.folder, {**self.config, **changes}, self.max_retries)

    @contextmanager
    def running(
        self, verb: str, names: Collection[str] = (), states: Collection[State] = ()
    ) -> Iterator["Running"]:
        """A process that has been started; it is killed at the end if it still runs."""
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        inputs = {"config": self.config, "catalog": _catalog(names), "state": list(states)}
        manifest = folder / "manifest.yaml"
        text, used = MANIFEST.read_text(), "max_retries: 7"
        assert used in text
        manifest.write_text(
            text.replace(used, f"max_retries: {self.max_retries}") if self.max_retries else text
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
        """Everything that a process says to its end."""
        with self.running(verb, names, states) as running:
            return running.finish()


class Running:
    """One process of the connector."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.said = Output()

    def read_until(self, holds: Callable[[Output], object]) -> None:
        """Take messages until `holds` of all that has been said, or until it ends."""
        assert self._process.stdout
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                return  # what a killed process was about to say
            self.said.add(json.loads(line))
            if holds(self.said):
                return

    def finish(self) -> Output:
        self.read_until(lambda _: False)
        self.said.code = self._process.wait(_PATIENCE_SECONDS)
        return self.said

    def kill(self) -> Output:
        """As a crash would; what it had written by then is taken too."""
        self._process.kill()
        return self.finish()


def _catalog(names: Collection[str]) -> dict[str, Any]:
    return {"streams": [_configured(stream) for name, stream in streams().items() if name in names]}


def _configured(stream: Stream) -> dict[str, Any]:
    modes = ["full_refresh", "incremental"] if stream.cursor else ["full_refresh"]
    described = {"name": stream.name, "json_schema": {}, "supported_sync_modes": modes}
    return {"stream": described, "sync_mode": modes[-1], "destination_sync_mode": "append"}
