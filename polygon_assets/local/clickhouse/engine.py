"""The chDB engine: one opened data directory, and a separate connection per request or session.

Add the handling of connections and sessions here; executing a request belongs to `execution`. A
connection costs 26 microseconds (measured), so connections are neither shared nor pooled: no
setting, database or temporary table leaks from one request into another.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.local.clickhouse.errors import ClickHouseError

CONFIG_FILE = Path(__file__).with_name("config.xml")
QUERY_ID_SETTING = "stream_like_engine_insert_queue"
"""The setting that carries the client's query id.

chDB gives every query its own id and accepts none from outside. The setting is otherwise unused
here (it names the queue of Redis and NATS tables), and `system.processes` shows it, so KILL QUERY
can find a query by the client's id.
"""
_CANCEL_BY_ID = "KILL QUERY WHERE Settings['{setting}'] = {{id:String}} ASYNC"


class DataDirectoryError(PolygonAssetsError):
    """The data directory or the address is unusable; the message has the cause and the cure."""


@dataclass
class _Session:
    connection: Any
    expires_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Engine:
    """The opened engine; it stays open for as long as the process serves.

    Raises DataDirectoryError when the directory is in use or unreadable.
    """

    def __init__(self, path: Path) -> None:
        import chdb  # 0.8 s CPU: loads the 555 MB engine

        path.mkdir(parents=True, exist_ok=True)
        self._address = f"{path.resolve()}?config-file={CONFIG_FILE}"
        self._open_connection = chdb.connect
        self._sessions: dict[str, _Session] = {}
        self._query_ids: set[str] = set()
        self._in_use = 0
        self._closing = False
        self._changed = threading.Condition()
        try:
            # Stays open to the end: the engine shuts down when its last connection is closed.
            self._anchor = chdb.connect(self._address)
        except Exception as error:
            raise DataDirectoryError(_open_error(path, error)) from error

    @contextmanager
    def connection(
        self, session_id: str = "", *, timeout_seconds: float = 60, must_exist: bool = False
    ) -> Iterator[Any]:
        """A new chDB connection, or the session's, which other requests cannot use meanwhile.

        Raises ClickHouseError when the session is busy (373), when the session must exist and does
        not (372), or when the server is stopping (236).
        """
        with self._counted():
            if session_id:
                with self._session(session_id, timeout_seconds, must_exist) as connection:
                    yield connection
                return
            connection = self._open_connection(self._address)
            try:
                yield connection
            finally:
                connection.close()

    @contextmanager
    def running(self, query_id: str) -> Iterator[None]:
        """Reserve a query id while its query runs.

        Raises ClickHouseError 216 while another query uses the id.
        """
        with self._changed:
            if query_id in self._query_ids:
                message = f"Query with id = {query_id} is already running."
                raise ClickHouseError.refused(216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", message)
            self._query_ids.add(query_id)
        try:
            yield
        finally:
            with self._changed:
                self._query_ids.discard(query_id)

    def cancel(self, query_id: str) -> None:
        """End the query with this id as KILL QUERY does; does nothing if no such query runs."""
        self._execute(_CANCEL_BY_ID.format(setting=QUERY_ID_SETTING), {"id": query_id})

    def probe(self) -> None:
        """Run `SELECT 1`. Raises ClickHouseError when the engine does not answer it."""
        self._execute("SELECT 1", {})

    def _execute(self, sql: str, parameters: dict[str, str]) -> None:
        try:
            connection = self._open_connection(self._address)
            try:
                connection.query(sql, "TabSeparated", params=parameters)
            finally:
                connection.close()
        except RuntimeError as error:
            raise ClickHouseError.from_engine(error) from error

    def close(self, grace_seconds: float) -> bool:
        """Wait for running requests, then close every connection.

        False when some still run after the grace period; then every connection stays open.
        """
        with self._changed:
            self._closing = True
            finished = self._changed.wait_for(lambda: self._in_use == 0, timeout=grace_seconds)
        if finished:
            for session in self._sessions.values():
                session.connection.close()
            self._anchor.close()
        return finished

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._changed:
            if self._closing:
                raise ClickHouseError.refused(236, "ABORTED", "Server is shutting down")
            self._in_use += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_use -= 1
                self._changed.notify_all()

    @contextmanager
    def _session(self, session_id: str, timeout_seconds: float, must_exist: bool) -> Iterator[Any]:
        session = self._lock_session(session_id, must_exist, time.monotonic())
        try:
            yield session.connection
        finally:
            session.expires_at = time.monotonic() + timeout_seconds
            session.lock.release()

    def _lock_session(self, session_id: str, must_exist: bool, now: float) -> _Session:
        with self._changed:
            self._drop_expired_sessions(now)
            session = self._sessions.get(session_id)
            if session is None and must_exist:
                raise ClickHouseError.refused(
                    372, "SESSION_NOT_FOUND", f"Session {session_id} not found"
                )
            if session is None:
                session = self._sessions[session_id] = _Session(
                    self._open_connection(self._address)
                )
            if not session.lock.acquire(blocking=False):
                raise ClickHouseError.refused(
                    373,
                    "SESSION_IS_LOCKED",
                    f"Session {session_id} is locked by a concurrent client",
                )
            return session

    def _drop_expired_sessions(self, now: float) -> None:
        for session_id, session in list(self._sessions.items()):
            if not session.lock.locked() and session.expires_at < now:
                session.connection.close()
                del self._sessions[session_id]


def _open_error(path: Path, error: Exception) -> str:
    """The reason why the directory cannot be opened.

    chDB reports a locked directory only as `Error initializing EmbeddedServer: .`, so the owner
    comes from the directory's status file.
    """
    status = path / "status"
    if "Error initializing EmbeddedServer" in str(error) and status.exists():
        owner = status.read_text().partition("\n")[0].removeprefix("PID: ")
        return (
            f"{path} is in use by another process (pid {owner}): stop that process, or choose "
            f"another directory (chDB: {error})"
        )
    return f"{path} cannot be opened: {error}"
