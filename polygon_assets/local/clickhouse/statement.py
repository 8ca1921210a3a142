"""What must be known about a statement before the engine sees it: its kind, its format, and where an INSERT's data starts.

No SQL is judged here beyond that; syntax errors are the engine's to find.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from polygon_assets.local.clickhouse.errors import ClickHouseError

_TOKEN = re.compile(
    rb"""'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*`   # literals and quoted names
       | --[^\n]* | \#[!\ ][^\n]* | /\*.*?\*/                         # comments
       | \w+ | [();]""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_STARTS = (b"--", b"#!", b"# ", b"/*")
_ROWS_COME_BACK = {b"SELECT", b"WITH", b"FROM", b"(", b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN", b"CHECK"}
# Rows or blocks that describe themselves: the engine encodes block by block, and only these can be strung together.
_CONCATENABLE = {"Native", "TabSeparated", "TSV", "CSV", "RowBinary", "JSONEachRow"}


@dataclass(frozen=True)
class Query:
    """Anything but an INSERT with data in the body. `format` is the output format, if the text names one."""

    sql: bytes
    returns_rows: bool
    format: str | None

    def streams(self, default_format: str) -> bool:
        return self.returns_rows and (self.format or default_format) in _CONCATENABLE


@dataclass(frozen=True)
class Insert:
    """`INSERT ... FORMAT x` and the bytes after it; `target` is the text before SETTINGS and FORMAT, `settings` that between them."""

    target: str
    settings: str
    format: str
    data: bytes


def parse(sql: bytes) -> Query | Insert:
    """Tell the two apart. Raises ClickHouseError for several statements in one request and for `INSERT ... SELECT ... FROM input()`."""
    tokens = _top_level_tokens(sql)
    first = next(tokens, None)
    kind = first[0].upper() if first else b""
    return _parse_insert(sql, tokens) if kind == b"INSERT" else _parse_query(sql, kind, tokens)


def _parse_insert(sql: bytes, tokens: Iterator[re.Match[bytes]]) -> Query | Insert:
    selects, target_end = False, 0
    for token in tokens:
        word = token[0].upper()
        if word == b"VALUES":
            break
        if word == b"SETTINGS":
            target_end = token.start()
        selects = selects or word in (b"SELECT", b"WITH")
        name = next(tokens, None) if word == b"FORMAT" else None
        if name and not selects:
            target, settings = sql[: target_end or token.start()], sql[target_end or token.start() : token.start()]
            return Insert(target.decode(), settings.decode(), name[0].decode(), _after_line_break(sql[name.end() :]))
        if name and sql[name.end() :].strip():
            # chDB would take the statement, ignore the rows and answer 200.
            raise ClickHouseError.refused(48, "NOT_IMPLEMENTED", "INSERT ... SELECT from data in the request is not supported here")
    return Query(sql, returns_rows=False, format=None)


def _parse_query(sql: bytes, kind: bytes, tokens: Iterator[re.Match[bytes]]) -> Query:
    output_format = None
    ended = False
    for token in tokens:
        if ended:
            raise ClickHouseError.refused(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
        word = token[0].upper()
        ended = word == b";"
        name = next(tokens, None) if word == b"FORMAT" else None
        output_format = name[0].decode() if name else output_format
    return Query(sql, returns_rows=kind in _ROWS_COME_BACK, format=output_format)


def _top_level_tokens(sql: bytes) -> Iterator[re.Match[bytes]]:
    """Words, literals and semicolons outside parentheses and comments; lazily, since data may follow. The first may be a parenthesis."""
    depth = 0
    for index, token in enumerate(match for match in _TOKEN.finditer(sql) if not match[0].startswith(_COMMENT_STARTS)):
        if token[0] == b"(":
            depth += 1
            if index == 0:
                yield token
        elif token[0] == b")":
            depth -= 1
        elif depth == 0:
            yield token


def _after_line_break(rest: bytes) -> bytes:
    """Data start after the blanks and the one line break that follow the format's name (ClickHouse's rule)."""
    rest = rest.lstrip(b" \t")
    return rest.removeprefix(b"\r\n") if rest.startswith(b"\r\n") else rest.removeprefix(b"\n")
