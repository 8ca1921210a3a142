"""Runs one request on a chDB connection: settings, database, then the query or the INSERT.

Add the execution of a kind of statement here; connections belong to `engine`, threads and pipes to
`running_query`, the way of the bytes to the client to `http`. Every error is a ClickHouseError.
"""

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from polygon_assets.local.clickhouse.engine import QUERY_ID_SETTING, Engine
from polygon_assets.local.clickhouse.errors import ClickHouseError
from polygon_assets.local.clickhouse.memory_file import file_holding
from polygon_assets.local.clickhouse.native import upgraded
from polygon_assets.local.clickhouse.request import Request
from polygon_assets.local.clickhouse.running_query import path_of, run
from polygon_assets.local.clickhouse.statement import (
    Insert,
    Query,
    killing_by_client_id,
    parse,
    quoted,
    with_query_id,
)

_SETTING_NAME = re.compile(r"\w+")


@dataclass(frozen=True)
class Answer:
    """The result of a request; reading `chunks` may raise ClickHouseError half-way.

    `format` is None for statements that return nothing. `summary` gives the fields of the header
    X-ClickHouse-Summary; its counts are complete once all chunks are read.
    """

    query_id: str
    format: str | None
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    summary: Callable[[], dict[str, str]] = dict
    time_zone: str = "UTC"


@dataclass(frozen=True)
class Execution:
    """One request to one engine; `client_is_gone` is called regularly while the engine computes."""

    engine: Engine
    request: Request
    client_is_gone: Callable[[], bool]
    read_only: bool
    query_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @contextmanager
    def answer(self) -> Iterator[Answer]:
        """The answer, readable inside the block; the query has ended when the block ends."""
        request = self.request
        statement, revision = self._statement(), request.native_revision
        session_id = request.parameters.get("session_id", "")
        must_exist = request.parameters.get("session_check") == "1"
        # A SET must outlive its request, whose own settings are undone at the end.
        settings = {} if _is_set(statement) else request.settings
        with (
            self.engine.running(self.query_id),
            self.engine.connection(
                session_id, timeout_seconds=request.session_seconds, must_exist=must_exist
            ) as connection,
            _restored(connection, request.database, settings) if session_id else nullcontext(),
        ):
            if self.read_only:
                _refuse_changes(connection, statement, request)
            self._prepare(connection, settings, fresh=not session_id)
            time_zone = _time_zone(connection, request)
            with self._started(connection, statement, revision) as answer:
                yield replace(answer, time_zone=time_zone)

    @contextmanager
    def _started(
        self, connection: Any, statement: Query | Insert, revision: int
    ) -> Iterator[Answer]:
        if isinstance(statement, Insert):
            yield self._insert(connection, statement)
        elif file_query := _into_pipe(connection, statement, self.request):
            with self._streamed(connection, file_query, revision) as answer:
                yield answer
        else:
            yield self._whole(connection, statement)

    def _statement(self) -> Query | Insert:
        statement = parse(self.request.sql)
        if isinstance(statement, Insert):
            return statement
        named = with_query_id(statement, self.query_id)
        return statement if named is statement.body else parse(named)

    def _prepare(self, connection: Any, settings: dict[str, str], *, fresh: bool) -> None:
        settings = settings | {QUERY_ID_SETTING: self.query_id, "implicit_select": "0"}
        if self.read_only and fresh:
            # Not in a session, which could never leave readonly again: there the check of the
            # parsed statement must do.
            settings.setdefault("readonly", "2")
        with engine_errors():
            if self.request.database:
                connection.query(f"USE {quoted(self.request.database, '`')}", "TabSeparated")
            connection.query(_set(settings), "TabSeparated")

    def _insert(self, connection: Any, insert: Insert) -> Answer:
        """Insert through a file, because chDB's send_insert loses rows silently.

        send_insert reports no error when writing fails: a violated constraint, an error in a
        materialized view, too many parts or partitions.
        """
        started = time.monotonic()
        with engine_errors(), file_holding(insert.data) as path:
            source = f"FROM INFILE {quoted(path, chr(39))} COMPRESSION 'none'"
            sql = f"{insert.target} {source} {insert.settings} FORMAT {insert.format}"
            result = connection.query(sql, "TabSeparated", params=self.request.query_parameters)
        return Answer(self.query_id, None, summary=lambda: _summary(started, result))

    def _whole(self, connection: Any, query: Query) -> Answer:
        """Run DDL or a command: the result is small, and a client that leaves does not stop it."""
        started = time.monotonic()
        sql = (
            killing_by_client_id(query, QUERY_ID_SETTING)
            if query.first_word == b"KILL"
            else query.body
        )
        with engine_errors():
            result = connection.query(
                sql, self.request.default_format, params=self.request.query_parameters
            )
        data = result.bytes()
        output_format = (query.format or self.request.default_format) if data else None
        return Answer(
            self.query_id, output_format, iter((data,)), lambda: _summary(started, result)
        )

    @contextmanager
    def _streamed(self, connection: Any, query: "_PipeQuery", revision: int) -> Iterator[Answer]:
        started = time.monotonic()
        parameters = self.request.query_parameters

        def produce(writer: int) -> Any:
            if query.is_native and revision:
                return self._write_native(connection, query, revision, writer)
            return connection.query(query.into(path_of(writer)), "TabSeparated", params=parameters)

        with run(
            produce, self.client_is_gone, lambda: self.engine.cancel(self.query_id)
        ) as running:
            yield Answer(
                self.query_id,
                query.format,
                running.chunks(),
                lambda: _summary(started, running.result_if_done()),
            )

    def _write_native(
        self, connection: Any, query: "_PipeQuery", revision: int, writer: int
    ) -> Any:
        """Write Native from chDB's stream, block by block: the bytes do not show a block's end."""
        full_types = cache(lambda: self._column_types(query.statement))
        parameters = self.request.query_parameters
        try:
            stream = connection.send_query(query.statement.body, "Native", params=parameters)
        except RuntimeError as error:
            if "Streaming query is not supported" not in str(error):
                raise
            # SHOW, DESCRIBE and the like
            result = connection.query(query.statement.body, "Native", params=parameters)
            _write(writer, upgraded(result.bytes(), revision, full_types) if result.size() else b"")
            return result
        # Close the stream before the connection: the other order aborts the engine (code 236).
        with stream:
            for block in stream:
                _write(writer, upgraded(block.bytes(), revision, full_types))
        return None

    def _column_types(self, query: Query) -> Mapping[str, str]:
        """Column types with their time zones, which the engine's Native output leaves out.

        Reads them on another connection, because the query's own is busy. That connection does not
        see temporary tables: a query on them keeps the types without zones.
        """
        with self.engine.connection() as connection, suppress(RuntimeError):
            if self.request.database:
                connection.query(f"USE {quoted(self.request.database, '`')}", "TabSeparated")
            sql = b"DESCRIBE TABLE (" + query.unformatted + b"\n)"
            described = connection.query(
                sql, "JSONCompactEachRow", params=self.request.query_parameters
            )
            return {row[0]: row[1] for row in map(json.loads, described.bytes().splitlines())}
        return {}


@dataclass(frozen=True)
class _PipeQuery:
    """A query whose rows can be written to a file: `into` names the file in its text."""

    statement: Query
    format: str
    into: Callable[[str], bytes]

    @property
    def is_native(self) -> bool:
        return self.format.lower() == "native"


def _into_pipe(connection: Any, query: Query, request: Request) -> _PipeQuery | None:
    """The query with an output file, or None if it returns no rows.

    The engine's parser decides whether FORMAT is a clause or a name.
    """
    if _query_class(connection, query.body) != "READ_ONLY":
        return None
    default_format = request.default_format
    unformatted = query.into_file("x", default_format)
    if _query_class(connection, unformatted) == "CONTROL":
        return _PipeQuery(query, default_format, lambda path: query.into_file(path, default_format))
    if query.format and _query_class(connection, query.formatted_into_file("x")) == "CONTROL":
        return _PipeQuery(query, query.format, query.formatted_into_file)
    return None


def _query_class(connection: Any, sql: bytes) -> str:
    """READ_ONLY, MUTATING, MUTATING_GLOBAL, CONTROL (also INTO OUTFILE), UNKNOWN (syntax error)."""
    return str(connection._conn.classify_query(sql)["query_class"].name)


def _is_set(statement: Query | Insert) -> bool:
    """Whether the statement changes session settings; restoring the request's would undo it."""
    return isinstance(statement, Query) and statement.first_word == b"SET"


def _refuse_changes(connection: Any, statement: Query | Insert, request: Request) -> None:
    """Refuse changes by a GET or by a reader. Raises ClickHouseError 164."""
    sql = request.sql if isinstance(statement, Insert) else statement.body
    allowed = {"READ_ONLY"} if "session_id" in request.parameters else {"READ_ONLY", "UNKNOWN"}
    harmless = isinstance(statement, Query) and statement.first_word in (b"SET", b"USE", b"")
    if not harmless and _query_class(connection, sql) not in allowed:
        message = "Cannot execute query in readonly mode. Send it by POST, as a user who may write"
        raise ClickHouseError.refused(164, "READONLY", message)
    if request.settings.get("readonly", "2") not in ("1", "2"):
        raise ClickHouseError.refused(
            164, "READONLY", "Cannot modify 'readonly' setting in readonly mode."
        )


@contextmanager
def _restored(connection: Any, database: str, settings: Mapping[str, str]) -> Iterator[None]:
    """Restore the session's settings and database after a request that brought its own."""
    names = [name for name in settings if _SETTING_NAME.fullmatch(name)]
    with engine_errors():
        before = _changed_settings(connection, names) if names else {}
        database_before = _current_database(connection)
    try:
        yield
    finally:
        # An unknown setting fails here as it did in the request, which then set none of them.
        with suppress(RuntimeError):
            # A USE statement in the request keeps its effect.
            if database and _current_database(connection) == database:
                connection.query(f"USE {quoted(database_before, '`')}", "TabSeparated")
            if names:
                values = [
                    f"{name} = {quoted(before[name], chr(39)) if name in before else 'DEFAULT'}"
                    for name in names
                ]
                connection.query("SET " + ", ".join(values), "TabSeparated")


def _changed_settings(connection: Any, names: list[str]) -> dict[str, str]:
    literals = ", ".join(quoted(name, "'") for name in names)
    sql = f"SELECT name, value FROM system.settings WHERE changed AND name IN ({literals})"
    rows = connection.query(sql, "JSONCompactEachRow").bytes().splitlines()
    return dict(json.loads(row) for row in rows)


def _time_zone(connection: Any, request: Request) -> str:
    """The zone that shows DateTime values without one; an earlier request may have set it."""
    if "session_id" not in request.parameters:
        return request.settings.get("session_timezone") or "UTC"
    return str(connection.query("SELECT timeZone()", "TSVRaw").bytes().decode().strip())


def _current_database(connection: Any) -> str:
    return str(
        connection.query("SELECT currentDatabase()", "TSVRaw").bytes().decode().removesuffix("\n")
    )


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn chDB's errors (ChdbError in some places, RuntimeError in others) to ClickHouseError."""
    try:
        yield
    except RuntimeError as error:
        raise ClickHouseError.from_engine(error) from error


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _set(settings: Mapping[str, str]) -> str:
    unknown = [name for name in settings if not _SETTING_NAME.fullmatch(name)]
    if unknown:
        raise ClickHouseError.refused(115, "UNKNOWN_SETTING", f"Unknown setting {unknown[0]!r}")
    return "SET " + ", ".join(
        f"{name} = {quoted(value, chr(39))}" for name, value in settings.items()
    )


def _summary(started: float, result: Any) -> dict[str, str]:
    """Counts as decimal strings; zeros before the first result, as in the server's progress."""
    counts = (
        {
            "read_rows": result.storage_rows_read(),
            "read_bytes": result.storage_bytes_read(),
            "written_rows": result.rows_written(),
            "written_bytes": result.bytes_written(),
            "total_rows_to_read": result.storage_rows_read(),
            "result_rows": result.rows_read(),
            "result_bytes": result.bytes_read(),
        }
        if result is not None
        else dict.fromkeys(
            (
                "read_rows",
                "read_bytes",
                "written_rows",
                "written_bytes",
                "result_rows",
                "result_bytes",
            ),
            0,
        )
    )
    return {name: str(count) for name, count in counts.items()} | {
        "elapsed_ns": str(int((time.monotonic() - started) * 1e9))
    }
