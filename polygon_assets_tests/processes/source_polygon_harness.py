"""Runs the connector as Airbyte does, in a process of its own, and parses its messages.

Expected records and errors belong to the tests. Each process is forked from a server that has
imported the CDK once: the import takes 2.4 s, as long as most of the tests.
"""

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, BinaryIO

from polygon_assets.batch.airbyte.connector import Stream, provisioned_manifest, streams

Record = dict[str, Any]
State = dict[str, Any]
_CDK = "airbyte_cdk.cli.source_declarative_manifest"
_FORK_SERVER = multiprocessing.get_context("forkserver")
_FORK_SERVER.set_forkserver_preload([_CDK])
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
    """Whether the streams know the vendor's address, as `airbyte apply` tells it."""

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
        arguments = [verb, "--manifest-path", str(manifest)]
        for option in inputs if verb == "read" else ("config",):
            (folder / option).write_text(json.dumps(inputs[option]))
            arguments += [f"--{option}", str(folder / option)]
        reader, writer = _FORK_SERVER.Pipe(duplex=False)
        process = _FORK_SERVER.Process(
            target=_run_connector, args=(arguments, writer, folder / "stderr")
        )
        process.start()
        writer.close()
        try:
            with reader, os.fdopen(os.dup(reader.fileno()), "rb") as stdout:
                yield Running(process, stdout)
        finally:
            process.kill()
            process.join()
            process.close()

    def run(self, verb: str, names: Collection[str] = (), states: Collection[State] = ()) -> Output:
        """Run a process to its end and return its messages."""
        with self.running(verb, names, states) as running:
            return running.finish()


def _run_connector(arguments: list[str], stdout: Connection, stderr: Path) -> None:
    """The process of the connector, from its command line to its end."""
    from airbyte_cdk.cli.source_declarative_manifest import run

    os.dup2(stdout.fileno(), 1)
    with stderr.open("wb") as file:
        os.dup2(file.fileno(), 2)
    stdout.close()
    sys.argv[1:] = arguments
    try:
        run()
    except Exception:  # noqa: BLE001
        # The CDK reports errors from this hook, which multiprocessing would not call.
        sys.excepthook(*sys.exc_info())
        sys.exit(1)


class Running:
    """One process of the connector."""

    def __init__(self, process: ForkServerProcess, stdout: BinaryIO) -> None:
        self._process = process
        self._stdout = stdout
        self.output = Output()

    def read_until(self, is_enough: Callable[[Output], object]) -> None:
        """Read messages until the output `is_enough`, or until the process ends."""
        for line in self._stdout:
            if not line.endswith(b"\n"):
                return  # the cut last line of a killed process
            self.output.add(json.loads(line))
            if is_enough(self.output):
                return

    def finish(self) -> Output:
        self.read_until(lambda _: False)
        self._process.join(_PATIENCE_SECONDS)
        assert self._process.exitcode is not None, "the connector does not end"
        self.output.code = self._process.exitcode
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
