"""Runs one request on a chDB connection: settings, database, then the query or the INSERT.

Connections come from `engine`, threads and pipes from `running_query`, bytes go back through
`http`; errors leave as ClickHouseError.
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
    """`format` is None for statements that return nothing; `chunks` may raise ClickHouseError half-way.

    `summary` is what X-ClickHouse-Summary says; counts are known once the chunks are used up.
    """

    query_id: str
    format: str | None
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    summary: Callable[[], dict[str, str]] = dict
    time_zone: str = "UTC"


@dataclass(frozen=True)
class Execution:
    """One request to one engine; `client_is_gone` is asked while the engine computes."""

    engine: Engine
    request: Request
    client_is_gone: Callable[[], bool]
    read_only: bool
    query_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @contextmanager
    def answer(self) -> Iterator[Answer]:
        """The answer may be read inside the block; at its end nothing of the query runs any more."""
        request = self.request
        statement, revision = self._statement(), request.native_revision
        session_id = request.parameters.get("session_id", "")
        must_exist = request.parameters.get("session_check") == "1"
        settings = {} if _is_set(statement) else request.settings
        with (
            self.engine.running(self.query_id),
            self.engine.connection(
                session_id, timeout_seconds=request.session_seconds, must_exist=must_exist
            ) as connection,
            _state_kept(connection, request.database, settings) if session_id else nullcontext(),
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
            # A session could not be taken out of it again, so there the parser's word is enough.
            settings.setdefault("readonly", "2")
        with engine_errors():
            if self.request.database:
                connection.query(f"USE {quoted(self.request.database, '`')}", "TabSeparated")
            connection.query(_set(settings), "TabSeparated")

    def _insert(self, connection: Any, insert: Insert) -> Answer:
        """Through a file, not chDB's send_insert: that loses rows without a word when writing them fails (a violated constraint, an
        error in a materialized view, too many parts or partitions)."""
        started = time.monotonic()
        with engine_errors(), file_holding(insert.data) as path:
            source = f"FROM INFILE {quoted(path, chr(39))} COMPRESSION 'none'"
            sql = f"{insert.target} {source} {insert.settings} FORMAT {insert.format}"
            result = connection.query(sql, "TabSeparated", params=self.request.query_parameters)
        return Answer(self.query_id, None, summary=lambda: _summary(started, result))

    def _whole(self, connection: Any, query: Query) -> Answer:
        """DDL and commands: whatever they return is small, and they run to their end whether the client stays or not."""
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
        """Through chDB's stream, because it hands over block by block: a block's end cannot be seen in the bytes."""
        full_types = cache(lambda: self._column_types(query.statement))
        parameters = self.request.query_parameters
        try:
            stream = connection.send_query(query.statement.body, "Native", params=parameters)
        except RuntimeError as error:
            if "Streaming query is not supported" not in str(error):
                raise
            result = connection.query(
                query.statement.body, "Native", params=parameters
            )  # SHOW, DESCRIBE and the like
            _write(writer, upgraded(result.bytes(), revision, full_types) if result.size() else b"")
            return result
        # Closed before the connection, always: closing a stream after it aborts the engine (code 236).
        with stream:
            for block in stream:
                _write(writer, upgraded(block.bytes(), revision, full_types))
        return None

    def _column_types(self, query: Query) -> Mapping[str, str]:
        """Column types with their time zones, which the engine's Native output leaves out.

        Asked on another connection, since that of the query is busy. Temporary tables are not seen
        there: such a query keeps the types without zones.
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
    """None for what returns no rows. Whether FORMAT is a clause or a name is the engine's parser to say."""
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
    """READ_ONLY, MUTATING, MUTATING_GLOBAL, CONTROL (also INTO OUTFILE) or UNKNOWN (a syntax error)."""
    return str(connection._conn.classify_query(sql)["query_class"].name)


def _is_set(statement: Query | Insert) -> bool:
    """`SET` changes the session; settings of its own request would be put back over it."""
    return isinstance(statement, Query) and statement.first_word == b"SET"


def _refuse_changes(connection: Any, statement: Query | Insert, request: Request) -> None:
    """A GET is read-only, whatever comes before the statement. Raises ClickHouseError 164."""
    sql = request.sql if isinstance(statement, Insert) else statement.body
    allowed = {"READ_ONLY"} if "session_id" in request.parameters else {"READ_ONLY", "UNKNOWN"}
    harmless = isinstance(statement, Query) and statement.first_word in (b"SET", b"USE", b"")
    if not harmless and _query_class(connection, sql) not in allowed:
        message = "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. Use method POST"
        raise ClickHouseError.refused(164, "READONLY", message)
    if request.settings.get("readonly", "2") not in ("1", "2"):
        raise ClickHouseError.refused(
            164, "READONLY", "Cannot modify 'readonly' setting in readonly mode."
        )


@contextmanager
def _state_kept(connection: Any, database: str, settings: Mapping[str, str]) -> Iterator[None]:
    """Settings and database of a request are not those of its session: put back what was there before."""
    names = [name for name in settings if _SETTING_NAME.fullmatch(name)]
    with engine_errors():
        before = _changed_settings(connection, names) if names else {}
        database_before = _current_database(connection)
    try:
        yield
    finally:
        # An unknown setting is refused here as it was in the request: then none of them was set.
        with suppress(RuntimeError):
            # USE in the request itself stays.
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
    """In which DateTime without a zone is shown; a session may have set it earlier."""
    if "session_id" not in request.parameters:
        return request.settings.get("session_timezone") or "UTC"
    return str(connection.query("SELECT timeZone()", "TSVRaw").bytes().decode().strip())


def _current_database(connection: Any) -> str:
    return str(
        connection.query("SELECT currentDatabase()", "TSVRaw").bytes().decode().removesuffix("\n")
    )


@contextmanager
def engine_errors() -> Iterator[None]:
    """chDB raises ChdbError in some places and RuntimeError in others."""
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
    """Decimal strings; zeros while the query has no result yet, as in the real server's first progress."""
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
