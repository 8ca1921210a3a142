"""Runs the embedded stack: starts its servers, waits until each is ready, and stops them.

Add the handling of running servers here; a server's command and settings belong to `servers`, the
decision to restart one belongs to `revival`.
"""

import logging
import os
import shutil
import signal
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from clickhouse_connect.driver.exceptions import ClickHouseError

from polygon_assets.clients.airbyte.transport import AirbyteError
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.local.launcher import leftovers, private_files, state
from polygon_assets.local.launcher.ports import free_port, is_free, listens
from polygon_assets.local.launcher.process import Process
from polygon_assets.local.launcher.replay import FOLDER, replay_start
from polygon_assets.local.launcher.servers import EMBEDDED, Server, embedded_servers
from polygon_assets.serving.migrate import MigrationError
from polygon_assets.settings import Settings
from polygon_assets.streaming.create_topics import TopicError

logger = logging.getLogger(__name__)
DEFAULT_KAFKA = EMBEDDED
"""The broker of a stack that names none; the tests can run on another one."""

# A cold start takes 4 s, Dagster 18 s; on machines busy with other work ClickHouse took 6 s and
# Dagster 72 s.
START_SECONDS = 150.0
# ClickHouse gives running requests 5 s to end.
STOP_SECONDS = 8.0
_POLL_SECONDS = 0.05


class ServerFailedError(PolygonAssetsError):
    """A server did not start or ended by itself; the message names it and ends with its log."""


class Stack:
    """The servers of one data directory; it stops only processes that it started.

    Start and restart servers from the main thread (see Process).
    """

    def __init__(
        self,
        data_dir: Path,
        servers: Sequence[Server],
        *,
        fixed_ports: bool = True,
        emptied: str = "",
    ) -> None:
        """With `fixed_ports` each server gets its usual or the next free port, else any free port.

        The servers keep their data in `data_dir`, or in its folder `emptied`, emptied by `start`.
        """
        self.data_dir = data_dir.resolve()
        self.servers_dir = self.data_dir / emptied
        self._is_emptied = bool(emptied)
        self.ports: dict[str, int] = {}
        self._servers = {server.name: server for server in servers}
        self._fixed_ports = fixed_ports
        self._processes: dict[str, Process] = {}
        self.restarts: dict[str, int] = {}
        """The number of restarts of each server."""
        self._lock: IO[str] | None = None
        self._owner_only = ExitStack()

    def start(self) -> None:
        """Start all servers and return when all are ready.

        Until `stop`, what this process and the servers write is their owner's alone. Raises
        StackRunningError, UnusableFolderError, NoFreePortError, or, after stopping the others,
        ServerFailedError.
        """
        self._lock = state.lock(self.data_dir)
        self._owner_only.enter_context(private_files.owner_only())
        try:
            if count := leftovers.end(self.data_dir):
                logger.warning("ended %d processes that a killed stack had left", count)
            state.remove(self.data_dir)
            if self._is_emptied:
                shutil.rmtree(self.servers_dir, ignore_errors=True)
            for server in self._servers.values():
                self.ports[server.name] = self._choose_port(server)
            for server in self._servers.values():
                self._log(server.name).unlink(missing_ok=True)
                self._launch(server)
            self._wait_until_ready(set(self._servers))
            self._write_state()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all servers with SIGTERM, later SIGKILL; those that use others stop first."""
        for name in [name for name in self._processes if self._servers[name].drain_seconds]:
            server = self._servers[name]
            self._processes.pop(name).stop_tree(server.drain_seconds, server.delivers)
        processes = list(reversed(self._processes.values()))
        for process in processes:
            process.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            process.stop(max(0.0, deadline - time.monotonic()))
        self._processes.clear()
        state.remove(self.data_dir)
        self._owner_only.close()
        if self._lock:
            self._lock.close()
            self._lock = None

    def environment(self) -> dict[str, str]:
        """The variables that production would set, with the values of this stack."""
        variables: dict[str, str] = {}
        for name, port in self.ports.items():
            variables |= self._servers[name].variables(port)
        return variables

    def settings(self) -> Settings:
        return Settings.model_validate(
            {name.lower(): value for name, value in self.environment().items()}
        )

    def process(self, name: str) -> Process:
        return self._processes[name]

    def kill(self, name: str) -> None:
        """End one server at once, as a crash would; the server stays down until `restart`."""
        process = self._processes.pop(name)
        process.send(signal.SIGKILL)
        process.wait(STOP_SECONDS)

    def restart(self, name: str) -> None:
        """Stop one server if it runs, start it on its port, and return when it is ready.

        Raises ServerFailedError.
        """
        if name in self._processes:
            process = self._processes.pop(name)
            if self._servers[name].drain_seconds:
                process.stop_tree(STOP_SECONDS, self._servers[name].delivers)
            else:
                process.stop(STOP_SECONDS)
        self._launch(self._servers[name])
        self.restarts[name] = self.restarts.get(name, 0) + 1
        self._wait_until_ready({name})
        self._write_state()

    def ended(self) -> dict[str, int]:
        """The exit code of each server that has ended by itself."""
        return {
            name: process.exit_code
            for name, process in self._processes.items()
            if process.exit_code is not None
        }

    def answers(self, name: str) -> bool:
        """Whether a server answers its health check now."""
        return self._servers[name].healthy(self.ports[name])

    def repair(self, name: str) -> str:
        """Repair the inside of a server; returns a report, empty if nothing was wrong."""
        return self._servers[name].repair(self.ports[name])

    def broken(self, name: str) -> str:
        """Why a server must start again although it answers; empty if it need not."""
        return self._servers[name].broken(self.ports[name])

    def lost_on_restart(self, name: str) -> str:
        """A sentence about the data that a restart of the server loses; empty if none."""
        return self._servers[name].lost_on_restart

    def log_end(self, name: str) -> str:
        """The last lines of a server's log, after the path of the log."""
        return f"The end of {self._log(name)}:\n{self._processes[name].last_lines() or '(nothing)'}"

    def add(self, *servers: Server) -> None:
        """Start more servers; their environment leads to all others (so Dagster finds them).

        Raises ServerFailedError.
        """
        for server in servers:
            self._servers[server.name] = server
            self.ports[server.name] = self._choose_port(server)
        for server in servers:
            self._log(server.name).unlink(missing_ok=True)
            self._launch(server)
        self._wait_until_ready({server.name for server in servers})
        self._write_state()

    def beside(self, name: str, command: Sequence[str]) -> Process:
        """A process with the servers' environment and a log, which is no server; the caller's."""
        log = self._log(name)
        log.unlink(missing_ok=True)
        return Process(command, self._environment_of_children(), log)

    def check(self, names: Collection[str] = ()) -> None:
        """Raise ServerFailedError when a server, or one of `names`, has ended by itself."""
        for name, code in self.ended().items():
            if not names or name in names:
                raise self._failure(name, f"ended by itself with code {code}")

    def _choose_port(self, server: Server) -> int:
        preferred = server.preferred_port if self._fixed_ports else 0
        port = free_port(preferred, set(self.ports.values()))
        if preferred not in (0, port):
            logger.warning("port %d is taken: %s uses %d", preferred, server.name, port)
        return port

    def _launch(self, server: Server) -> None:
        data = self.servers_dir / server.name
        log = self._log(server.name)
        for directory in (data, log.parent):
            directory.mkdir(parents=True, exist_ok=True)
        death_signal = signal.SIGTERM if server.drain_seconds else signal.SIGKILL
        self._processes[server.name] = Process(
            server.command(self.ports[server.name], data),
            self._environment_of_children() | server.own_variables | self._temporary_files(server),
            log,
            death_signal,
        )

    def _environment_of_children(self) -> dict[str, str]:
        return self.environment() | {leftovers.MARK: str(self.data_dir)}

    def _temporary_files(self, server: Server) -> dict[str, str]:
        """The variable that keeps a server's temporary files, some with secrets, with its data.

        A server that is killed leaves them; the next start removes them. Dagster's stay where the
        system has them: its sockets are among them, whose paths have at most 107 characters.
        """
        if server.drain_seconds:
            return {}
        folder = self.data_dir / "temporary" / server.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return {"TMPDIR": str(folder)}

    def _wait_until_ready(self, waiting: set[str]) -> None:
        started = time.monotonic()
        while waiting:
            self.check(waiting)
            for name in sorted(waiting):
                if self._is_ready(name):
                    self._prepare(name)
                    waiting.remove(name)
                    logger.info(
                        "%s is ready on port %d after %.1f s",
                        name,
                        self.ports[name],
                        time.monotonic() - started,
                    )
            if waiting and time.monotonic() - started > START_SECONDS:
                raise self._failure(min(waiting), f"was not ready after {START_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _prepare(self, name: str) -> None:
        try:
            self._servers[name].prepare(self.settings())
        except (AirbyteError, ClickHouseError, MigrationError, TopicError) as error:
            raise self._failure(name, f"could not be prepared: {error}") from error

    def _is_ready(self, name: str) -> bool:
        port = self.ports[name]
        return listens(self._processes[name].pid, port) and self._servers[name].healthy(port)

    def _failure(self, name: str, what: str) -> ServerFailedError:
        process, port = self._processes[name], self.ports[name]
        # Not every server says so, and a log's last lines hardly ever.
        if not is_free(port) and not listens(process.pid, port):
            what += f" (another process listens on its port {port})"
        lines = process.last_lines() or "(nothing)"
        return ServerFailedError(f"{name} {what}; the end of {self._log(name)}:\n{lines}")

    def _log(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name}.log"

    def _write_state(self) -> None:
        servers = {
            name: {"pid": process.pid, "port": self.ports[name], "log": str(self._log(name))}
            for name, process in self._processes.items()
        }
        running = {
            "pid": os.getpid(),
            "servers": servers,
            "restarts": self.restarts,
            "environment": self.environment(),
        }
        state.write(self.data_dir, running)


@contextmanager
def running_stack(
    data_dir: Path,
    *,
    only: Collection[str] = (),
    exchange_options: Sequence[str] = (),
    fixed_ports: bool = True,
    kafka: str = "",
) -> Iterator[Stack]:
    """Start a stack and stop it at the end. `only` names the servers to start; empty means all."""
    servers = [
        server
        for server in embedded_servers(exchange_options, kafka or DEFAULT_KAFKA)
        if not only or server.name in only
    ]
    stack = Stack(
        data_dir,
        servers,
        fixed_ports=fixed_ports,
        emptied=FOLDER if replay_start(exchange_options) else "",
    )
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()
