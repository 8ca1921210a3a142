"""Runs the embedded stack: starts its servers together, proves that each is ready, and stops exactly what it started.

What the servers are is `servers`' business; Dagster and the stream programs are started by the command line.
"""

import logging
import os
import shutil
import signal
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from clickhouse_connect.driver.exceptions import ClickHouseError

from polygon_assets.clients.airbyte import AirbyteError
from polygon_assets.local.broker import BrokerError
from polygon_assets.local.launcher import state
from polygon_assets.local.launcher.ports import free_port, listens
from polygon_assets.local.launcher.process import Process
from polygon_assets.local.launcher.replay import FOLDER, replay_of
from polygon_assets.local.launcher.servers import Server, embedded_servers
from polygon_assets.serving.migrate import MigrationError
from polygon_assets.settings import Settings

logger = logging.getLogger(__name__)

# A cold start takes 4 s and Dagster 18; on machines busy with other work ClickHouse took 6 s and Dagster 72.
START_SECONDS = 150.0
# ClickHouse gives running requests 5 s to end.
STOP_SECONDS = 8.0
_POLL_SECONDS = 0.05


class ServerFailedError(Exception):
    """A server did not start, or ended by itself; the message names it and shows the end of its log."""


class Stack:
    """The servers of one data directory. Start and restart them from the main thread (see Process)."""

    def __init__(
        self,
        data_dir: Path,
        servers: Sequence[Server],
        *,
        fixed_ports: bool = True,
        emptied: str = "",
    ) -> None:
        """With `fixed_ports` each server gets its usual port or the next free one, otherwise any free port.

        The servers keep their data in `data_dir`, or in its folder `emptied`, which is empty when they start.
        """
        self.data_dir = data_dir.resolve()
        self.servers_dir = self.data_dir / emptied
        self._is_emptied = bool(emptied)
        self.ports: dict[str, int] = {}
        self._servers = {server.name: server for server in servers}
        self._fixed_ports = fixed_ports
        self._processes: dict[str, Process] = {}
        self.restarts: dict[str, int] = {}
        """How often each server was started again."""
        self._lock: IO[str] | None = None

    def start(self) -> None:
        """Start all servers and return when all are ready.

        Raises StackRunningError, NoFreePortError, or ServerFailedError, in which case the others are stopped again.
        """
        self._lock = state.lock(self.data_dir)
        state.remove(self.data_dir)
        if self._is_emptied:
            shutil.rmtree(self.servers_dir, ignore_errors=True)
        try:
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
        """Stop all servers, those first that use the others: SIGTERM, and SIGKILL to what is still there after its time."""
        for name in [name for name in self._processes if self._servers[name].drain_seconds]:
            self._processes.pop(name).stop_tree(self._servers[name].drain_seconds)
        processes = list(reversed(self._processes.values()))
        for process in processes:
            process.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            process.stop(max(0.0, deadline - time.monotonic()))
        self._processes.clear()
        state.remove(self.data_dir)
        if self._lock:
            self._lock.close()
            self._lock = None

    def environment(self) -> dict[str, str]:
        """The variables that production would set, leading here."""
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
        """End one server at once, as a crash would; it stays down until `restart`."""
        process = self._processes.pop(name)
        process.send(signal.SIGKILL)
        process.wait(STOP_SECONDS)

    def restart(self, name: str) -> None:
        """Start one server again on its port, after stopping it if it runs; returns when it is ready. Raises ServerFailedError."""
        if name in self._processes:
            process = self._processes.pop(name)
            if self._servers[name].drain_seconds:
                process.stop_tree(STOP_SECONDS)
            else:
                process.stop(STOP_SECONDS)
        self._launch(self._servers[name])
        self.restarts[name] = self.restarts.get(name, 0) + 1
        self._wait_until_ready({name})
        self._write_state()

    def ended(self) -> dict[str, int]:
        """Exit code of each server that has ended by itself."""
        return {
            name: process.exit_code
            for name, process in self._processes.items()
            if process.exit_code is not None
        }

    def answers(self, name: str) -> bool:
        """Whether a server answers its health check now."""
        return self._servers[name].healthy(self.ports[name])

    def mend(self, name: str) -> str:
        """What was wrong inside a server and is repaired; empty where nothing was."""
        return self._servers[name].mend(self.ports[name])

    def forgets(self, name: str) -> str:
        """What a server has lost when it is started again."""
        return self._servers[name].forgets

    def last_words(self, name: str) -> str:
        """The end of a server's log."""
        return f"The end of {self._log(name)}:\n{self._processes[name].last_lines() or '(nothing)'}"

    def add(self, server: Server) -> None:
        """Start one more server, which finds those that are ready by its environment (Dagster does). Raises ServerFailedError."""
        self._servers[server.name] = server
        self.ports[server.name] = self._choose_port(server)
        self._log(server.name).unlink(missing_ok=True)
        self._launch(server)
        self._wait_until_ready({server.name})
        self._write_state()

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
        farewell = signal.SIGTERM if server.drain_seconds else signal.SIGKILL
        self._processes[server.name] = Process(
            server.command(self.ports[server.name], data), self.environment(), log, farewell
        )

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
        except (AirbyteError, BrokerError, ClickHouseError, MigrationError) as error:
            raise self._failure(name, f"could not be prepared: {error}") from error

    def _is_ready(self, name: str) -> bool:
        port = self.ports[name]
        return listens(self._processes[name].pid, port) and self._servers[name].healthy(port)

    def _failure(self, name: str, what: str) -> ServerFailedError:
        lines = self._processes[name].last_lines() or "(nothing)"
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
) -> Iterator[Stack]:
    """A started stack, stopped at the end whatever happens. `only` names the servers wanted, all when empty."""
    servers = [
        server for server in embedded_servers(exchange_options) if not only or server.name in only
    ]
    stack = Stack(
        data_dir,
        servers,
        fixed_ports=fixed_ports,
        emptied=FOLDER if replay_of(exchange_options) else "",
    )
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()
