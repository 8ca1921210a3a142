"""fakesnow's databases as files of one directory, and its sessions with Snowflake's guarantees.

Unlike fakesnow alone, a statement is atomic, writers wait for each other, and an engine failure is
an error answer instead of an HTTP 500, which clients would retry until they time out. Add the
running of statements here; HTTP belongs to `__main__`, rewriting SQL belongs to `statements`. This
uses fakesnow's internals, so the version of fakesnow is pinned.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from fakesnow.conn import FakeSnowflakeConnection
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.instance import FakeSnow
from fakesnow.params import MutableParams
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import Error, ProgrammingError
from sqlglot import Expr, exp

from polygon_assets.local.snowflake import repairs, statements
from polygon_assets.local.snowflake.writers import LockHolder, WriteLock, WriterWaitError

logger = logging.getLogger("polygon_assets.local.snowflake")
# Below 60 s: the connector resends a statement after 60 s without an answer.
_WRITER_WAIT_SECONDS = 50.0
# Snowflake rolls back an idle transaction that blocks another one after 5 minutes.
_IDLE_TRANSACTION_SECONDS = 10.0
_ACCOUNT = "FAKESNOW"
_DEFAULT_SCHEMA = "PUBLIC"
_MEMORY_LIMIT = "1GB"
_KEPT_RESULTS = 8
_MACROS = (
    resources.files("polygon_assets.local.snowflake").joinpath("session_macros.sql").read_text()
)
_SUM_OF_TEXT = re.compile(r'sum\((VARCHAR|JSON|STRING_LITERAL)|function call "sum\(', re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_READING = {
    "SELECT",
    "WITH",
    "SHOW",
    "DESC",
    "DESCRIBE",
    "LIST",
    "LS",
    "PUT",
    "USE",
    "SET",
    "UNSET",
    "EXPLAIN",
}
# fakesnow turns each of these into several DuckDB statements, so they need a transaction. The other
# statements write to two databases, which one DuckDB transaction cannot.
_SPLIT = {"MERGE", "INSERT", "COPY"}
_LOCK_TIMEOUT, _INTERNAL_ERROR, _TRANSACTION_ABORTED = 625, 603, 90232


class Engine(FakeSnow):
    """All databases, each a file.

    They are opened at the start, because two sessions must not open a database at the same time.
    """

    def __init__(self, directory: Path) -> None:
        repairs.apply()
        super().__init__(
            create_database_on_connect=False, create_schema_on_connect=False, db_path=directory
        )
        self.write_lock = WriteLock(_WRITER_WAIT_SECONDS, _IDLE_TRANSACTION_SECONDS)
        self.duck_conn.execute(f"SET GLOBAL memory_limit = '{_MEMORY_LIMIT}'")
        self.duck_conn.execute("SET GLOBAL temp_directory = ?", [str(directory / "spill")])
        for file in sorted(directory.glob("*.db")):
            self.duck_conn.execute(f"ATTACH '{file}' AS {file.stem}")

    def connect(
        self,
        database: str | None = None,
        schema: str | None = None,
        nop_regexes: list[str] | None = None,
        **kwargs: Any,
    ) -> "Session":
        """A session for one client."""
        return Session(self, database, schema, nop_regexes=nop_regexes, **kwargs)

    def create(self, database: str, schemas: Iterable[str]) -> None:
        """Create a database, its schemas and Snowflake's PUBLIC, where they are missing.

        Sessions begin in PUBLIC.
        """
        cursor = self.connect().cursor()
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {database}")
        for schema in (_DEFAULT_SCHEMA, *schemas):
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {database}.{schema}")

    def close(self) -> None:
        """Write the databases' logs into their files; acknowledged rows are in the logs already."""
        for (name,) in self.duck_conn.execute(
            "SELECT database_name FROM duckdb_databases() WHERE path IS NOT NULL"
        ).fetchall():
            self.duck_conn.execute(f"FORCE CHECKPOINT {name}")
        self.duck_conn.close()


class Session(FakeSnowflakeConnection, LockHolder):
    """One client's session."""

    def __init__(
        self, engine: Engine, database: str | None, schema: str | None, **kwargs: Any
    ) -> None:
        super().__init__(
            engine.duck_conn.cursor(),
            _NewestResults(),
            database,
            schema or _DEFAULT_SCHEMA,
            create_database=False,
            create_schema=False,
            db_path=engine.db_path,
            **kwargs,
        )
        self.write_lock = engine.write_lock
        self.used_at = time.monotonic()
        self.began = False
        self.abandoned = False
        self.user, self.role, self.warehouse = "", "", ""
        self.last_query_id: str | None = None
        self.temporaries = statements.Temporaries()
        self._duck_conn.execute(_MACROS)

    @property
    def facts(self) -> dict[str, str | None]:
        """The values of SQL functions about the session, by function name."""
        return {
            "CURRENT_WAREHOUSE": self.warehouse or None,
            "CURRENT_ROLE": self.role or "PUBLIC",
            "CURRENT_USER": self.user or None,
            "CURRENT_ACCOUNT": _ACCOUNT,
            "CURRENT_ACCOUNT_NAME": _ACCOUNT,
            "CURRENT_ORGANIZATION_NAME": _ACCOUNT,
            "CURRENT_REGION": "LOCAL",
            "CURRENT_SESSION": str(id(self)),
            "CURRENT_TRANSACTION": None,
            "CURRENT_IP_ADDRESS": "127.0.0.1",
            "CURRENT_AVAILABLE_ROLES": json.dumps([self.role or "PUBLIC"]),
            "CURRENT_SECONDARY_ROLES": json.dumps({"roles": "", "value": ""}),
            "CURRENT_SCHEMAS": json.dumps([f"{self.database}.{self.schema}"]),
            "LAST_QUERY_ID": self.last_query_id,
        }

    @property
    def keeps_writing(self) -> bool:
        """Whether the session keeps the write lock until COMMIT or ROLLBACK."""
        return self.began or self._in_transaction

    def cursor(
        self,
        cursor_class: type[SnowflakeCursor] = SnowflakeCursor,  # noqa: ARG002
    ) -> "Cursor":
        return Cursor(self, self._duck_conn)

    def set_login(self, user: str, parameters: Mapping[str, str]) -> None:
        """Store the login's user, role and warehouse, used only by CURRENT_ROLE() and the like."""
        self.user = user.upper()
        self.role, self.warehouse = (
            parameters.get(name, "").upper() for name in ("roleName", "warehouse")
        )

    def apply_use(self, statement: exp.Use) -> None:
        """Store the name of USE ROLE or USE WAREHOUSE, which have no other effect."""
        kind, name = statement.text("kind").upper(), statement.this
        if kind in ("ROLE", "WAREHOUSE") and name:
            setattr(self, kind.lower(), name.name.upper())

    def interrupt(self) -> None:
        """Make a running statement fail."""
        self._duck_conn.interrupt()

    def abandon(self) -> None:
        """Roll back an idle transaction; the session's next statement then fails and says so."""
        logger.warning(
            "rolled back a transaction that was idle while another session waited to write"
        )
        self._duck_conn.rollback()
        self.began = self._in_transaction = False
        self.abandoned = True


class Cursor(FakeSnowflakeCursor):
    """Runs the statements of a session."""

    _conn: Session
    _to_begin = False

    def execute(self, command: str, *args: Any, **kwargs: Any) -> FakeSnowflakeCursor:
        """Run a statement; raises only errors that fakesnow's server sends on unchanged."""

        def run() -> FakeSnowflakeCursor:
            return super(Cursor, self).execute(command, *args, **kwargs)

        try:
            with self._conn.write_lock.statement(self._conn):
                cursor = self._execute_or_sum_text(_kind(command), run)
                self._conn.last_query_id = self.sfqid
                return cursor
        except WriterWaitError as error:
            raise ProgrammingError(
                msg=f"lock timeout: {error}", errno=_LOCK_TIMEOUT, sqlstate="57014"
            ) from error
        except Error:
            raise
        except Exception as error:
            logger.exception("could not run: %s", command)
            raise ProgrammingError(
                msg=f"{type(error).__name__}: {error}", errno=_INTERNAL_ERROR, sqlstate="XX000"
            ) from error

    def _execute_or_sum_text(
        self, kind: str, run: Callable[[], FakeSnowflakeCursor]
    ) -> FakeSnowflakeCursor:
        """Run a statement; if DuckDB refuses SUM over text, run it again with text cast to numbers.

        Only DuckDB has the columns' types, and it refuses before it has changed anything.
        """
        try:
            return self._execute_as(kind, run)
        except ProgrammingError as error:
            if not _SUM_OF_TEXT.search(str(error)):
                raise
        with statements.sums_of_text():
            return self._execute_as(kind, run)

    def _transform(self, expression: Expr, params: MutableParams | None) -> Expr:
        session, shown = self._conn, statements.take_filter(expression)
        if isinstance(expression, exp.Use):
            session.apply_use(expression)
        expression = statements.with_columns_of_values(expression)
        expression = statements.with_session_functions(expression, session.facts)
        expression = session.temporaries.rewrite(
            statements.with_functions(expression), session.database, session.schema
        )
        transformed = super()._transform(expression, params)
        return (
            shown.apply(transformed)
            if shown and isinstance(transformed, exp.Query)
            else transformed
        )

    def _execute_as(self, kind: str, run: Callable[[], FakeSnowflakeCursor]) -> FakeSnowflakeCursor:
        session = self._conn
        if session.abandoned:
            session.abandoned = False
            if kind != "ROLLBACK":
                message = (
                    "the transaction was rolled back: it was idle for "
                    f"{_IDLE_TRANSACTION_SECONDS:.0f} s while another session waited; begin it anew"
                )
                raise ProgrammingError(msg=message, errno=_TRANSACTION_ABORTED, sqlstate="40001")
        if kind in _READING:
            return run()
        if kind in ("COMMIT", "ROLLBACK"):
            return self._end(run)
        if kind in ("BEGIN", "START"):
            session.began = True
            return run()
        session.write_lock.acquire(session)
        # Without autocommit fakesnow begins a transaction itself.
        split = kind in _SPLIT and session._autocommit and not session.began
        try:
            return self._atomically(run) if split else run()
        finally:
            if not session.keeps_writing:
                session.write_lock.release(session)

    def _end(self, run: Callable[[], FakeSnowflakeCursor]) -> FakeSnowflakeCursor:
        session = self._conn
        try:
            return run()
        except Exception:
            self._duck_conn.rollback()
            raise
        finally:
            session.began = session._in_transaction = False
            session.write_lock.release(session)

    def _atomically(self, run: Callable[[], FakeSnowflakeCursor]) -> FakeSnowflakeCursor:
        """Run fakesnow's several statements for one of the client's in one transaction."""
        self._to_begin = True
        try:
            run()
            if not self._to_begin:
                self._duck_conn.commit()
        except BaseException:
            if not self._to_begin:
                self._duck_conn.rollback()
            raise
        finally:
            self._to_begin = False
        return self

    def _execute(self, transformed: Expr, params: MutableParams | None = None) -> None:
        # Not before a CREATE: fakesnow registers the table of a MERGE's candidates in a second
        # database, and a DuckDB transaction writes to one database only.
        if self._to_begin and not isinstance(transformed, exp.Create):
            self._duck_conn.begin()
            self._to_begin = False
        super()._execute(transformed, params)


class _NewestResults(dict[str, tuple[Any, ...]]):
    """The newest results only: fakesnow keeps all, but a client can request only few of them."""

    def __setitem__(self, query_id: str, result: tuple[Any, ...]) -> None:
        super().__setitem__(query_id, result)
        while len(self) > _KEPT_RESULTS:
            del self[next(iter(self))]


def _kind(command: str) -> str:
    """The statement's first word; SET for ALTER SESSION."""
    words = _COMMENT.sub(" ", command).lstrip(" \t\r\n(").upper().split(maxsplit=2)[:2]
    return "SET" if words == ["ALTER", "SESSION"] else "".join(words[:1]).rstrip(";")
