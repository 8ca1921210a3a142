"""Runs the connector, `source-declarative-manifest`, as a child process.

Add handling of the process here; the effects of its messages belong to `messages`. Start a
connector from a thread that outlives it: the kernel ends the connector with that thread, so no
connector goes on reading after this server is killed.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

from polygon_assets.child_processes import prepare_child
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.local.airbyte.sync.job_log import JobLog
from polygon_assets.local.airbyte.sync.protocol import Message, decoder
from polygon_assets.local.airbyte.workspace.objects import Json

# The entry point of the same name, called without a search in PATH.
_COMMAND = (
    sys.executable,
    "-c",
    "from airbyte_cdk.cli.source_declarative_manifest import run; run()",
)
_STOP_SECONDS = 5.0
_PIPE_BYTES = 1 << 20


class ConnectorError(PolygonAssetsError):
    """The connector failed; the message is its own if it sent one."""


class Connector:
    """A connector that runs inside `with`; its end deletes the input files, which hold secrets."""

    def __init__(
        self, verb: Literal["discover", "read"], folder: Path, log: JobLog, **inputs: object
    ) -> None:
        """`inputs` by option name: config, manifest_path and, to read, catalog and state."""
        self._folder = folder
        self._log = log
        folder.mkdir(parents=True, mode=0o700)
        options = [
            option
            for name, content in inputs.items()
            for option in _file(folder, name.replace("_", "-"), content)
        ]
        self._process = subprocess.Popen(
            [*_COMMAND, verb, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log.file,
            bufsize=_PIPE_BYTES,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            # Safe between fork and exec: it calls the kernel and takes no lock.
            preexec_fn=prepare_child(signal.SIGKILL),  # noqa: PLW1509
        )

    def __enter__(self) -> "Connector":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._process.stdout:
            self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def messages(self) -> Iterator[tuple[Message, int]]:
        """Each message with its size in bytes, until the connector ends.

        A line that is not JSON goes to the log. Raises ConnectorError for JSON that is not a
        message, because it may be a record.
        """
        for line in self._process.stdout or ():
            try:
                yield decoder.decode(line), len(line)
            except msgspec.ValidationError as error:
                raise ConnectorError(
                    "the connector wrote a line that is no message of the Airbyte protocol: "
                    f"{error}: {line[:300]!r}"
                ) from error
            except msgspec.DecodeError:
                self._log.write("source", "INFO", line.decode(errors="replace").rstrip())

    def exit_code(self) -> int:
        """The exit code, once `messages` has ended; minus the signal's number after a signal."""
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()
            return self._process.returncode

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if it does not help; safe from any thread and after the end."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def discover(manifest: Json, configuration: Json, folder: Path, log: JobLog) -> Sequence[Json]:
    """The streams that the connector offers. Raises ConnectorError with the connector's reason."""
    reasons = []
    with Connector(
        "discover", folder, log, config=configuration, manifest_path=manifest
    ) as connector:
        for message, _ in connector.messages():
            if message.catalog:
                return message.catalog.streams
            if message.trace and message.trace.error:
                reasons.append(message.trace.error.message)
            if message.log:
                log.write("source", message.log.level, message.log.message)
        code = connector.exit_code()
    raise ConnectorError(
        "; ".join(reasons)
        or f"the connector ended with code {code} and offered no streams; see {log.path}"
    )


def _file(folder: Path, name: str, content: object) -> tuple[str, str]:
    """Write an input file, which only its owner may read; returns the option and the path."""
    path = folder / f"{name}.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(content))
    return f"--{name}", str(path)
