"""Runs one request on a chDB connection: settings, database, then the query or the INSERT.

Connections come from `engine`, bytes go back through `http`; errors leave as ClickHouseError.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from polygon_assets.local.clickhouse.errors import ClickHouseError
from polygon_assets.local.clickhouse.memory_file import file_holding
from polygon_assets.local.clickhouse.request import Request
from polygon_assets.local.clickhouse.statement import Insert, Query, parse

_SETTING_NAME = re.compile(r"\w+")


@dataclass(frozen=True)
class Answer:
    """`format` is None for statements that return nothing; `chunks` may raise ClickHouseError half-way."""

    format: str | None
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    summary: dict[str, str] = field(default_factory=dict)


def execute(connection: Any, request: Request) -> Answer:
    """The connection belongs to the caller and must stay his until the chunks are used up."""
    statement = parse(request.sql)
    with engine_errors():
        if request.database:
            connection.query(f"USE {_quoted(request.database, '`')}", "TabSeparated")
        if request.settings:
            connection.query(_set(request.settings), "TabSeparated")
    if isinstance(statement, Insert):
        return _insert(connection, statement)
    if statement.streams(request.default_format) and not request.waits_for_end:
        return _stream(connection, statement, request)
    return _query(connection, statement, request)


def forget_settings(connection: Any, request: Request) -> None:
    """Settings of a request are not those of its session."""
    names = [name for name in request.settings if _SETTING_NAME.fullmatch(name)]
    if names:
        # An unknown setting is refused here as it was in the request: then none of them was set.
        with suppress(RuntimeError):
            connection.query("SET " + ", ".join(f"{name} = DEFAULT" for name in names), "TabSeparated")


@contextmanager
def engine_errors() -> Iterator[None]:
    """chDB raises ChdbError in some places and RuntimeError in others."""
    try:
        yield
    except RuntimeError as error:
        raise ClickHouseError.from_engine(error) from error


def _insert(connection: Any, insert: Insert) -> Answer:
    """Through a file, not chDB's send_insert: that loses rows without a word when writing them fails (a violated constraint, an error in a
    materialized view, too many parts or partitions)."""
    started = time.monotonic()
    with engine_errors(), file_holding(insert.data) as path:
        source = f"FROM INFILE {_quoted(path, chr(39))} COMPRESSION 'none'"
        result = connection.query(f"{insert.target} {source} {insert.settings} FORMAT {insert.format}", "TabSeparated")
    return Answer(None, summary=_summary(started, written_rows=result.rows_written(), written_bytes=result.bytes_written()))


def _query(connection: Any, query: Query, request: Request) -> Answer:
    started = time.monotonic()
    with engine_errors():
        result = connection.query(query.sql, request.default_format, params=request.query_parameters)
    summary = _summary(
        started,
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        result_rows=result.rows_read(),
        result_bytes=result.size(),
    )
    return Answer(_format(query, request), iter((result.bytes(),)), summary)


def _stream(connection: Any, query: Query, request: Request) -> Answer:
    """Blocks as the engine computes them. The first is fetched now, so that an early error still gets its status."""
    try:
        stream = connection.send_query(query.sql, request.default_format, params=request.query_parameters)
    except RuntimeError as error:
        if "Streaming query is not supported" in str(error):  # SHOW, DESCRIBE and the like
            return _query(connection, query, request)
        raise ClickHouseError.from_engine(error) from error
    chunks = _blocks(stream)
    first = next(chunks, b"")
    return Answer(_format(query, request), _chain(first, chunks))


def _blocks(stream: Any) -> Iterator[bytes]:
    with engine_errors(), stream:
        for block in stream:
            yield block.bytes()


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield first
        yield from rest
    finally:
        rest.close()  # type: ignore[attr-defined]  # a generator: leaving it early cancels the query


def _format(query: Query, request: Request) -> str | None:
    return (query.format or request.default_format) if query.returns_rows else None


def _set(settings: dict[str, str]) -> str:
    unknown = [name for name in settings if not _SETTING_NAME.fullmatch(name)]
    if unknown:
        raise ClickHouseError.refused(115, "UNKNOWN_SETTING", f"Unknown setting {unknown[0]!r}")
    return "SET " + ", ".join(f"{name} = {_quoted(value, chr(39))}" for name, value in settings.items())


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


def _summary(started: float, **counts: int) -> dict[str, str]:
    """X-ClickHouse-Summary: decimal strings."""
    return {name: str(count) for name, count in counts.items()} | {"elapsed_ns": str(int((time.monotonic() - started) * 1e9))}
