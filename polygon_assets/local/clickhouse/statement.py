"""Parses only a statement's kind, its format, and the start of an INSERT's data.

Add checks that must happen before the engine runs a statement here; syntax errors belong to the
engine.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, pairwise, tee

from polygon_assets.local.clickhouse.errors import ClickHouseError

_TOKEN = re.compile(
    rb"""'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*`   # literals and quoted names
       | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$                              # heredocs
       | --[^\n]* | \#[!\ ][^\n]* | /\*.*?\*/                         # comments
       | \w+ | [();]""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_STARTS = (b"--", b"#!", b"# ", b"/*")
# A cheap test first: it saves the tokenizing of long statements.
_QUERY_ID_CALL = re.compile(rb"query_?id\s*\(", re.IGNORECASE)
_INSERT_AFTER_WITH = re.compile(rb"\bINSERT\s+INTO\b", re.IGNORECASE)
_QUERY_ID_FUNCTIONS = {b"QUERYID", b"QUERY_ID", b"INITIALQUERYID", b"INITIAL_QUERY_ID"}
_FORMAT_NAME = re.compile(r"\w+")


@dataclass(frozen=True)
class Query:
    """Any statement except an INSERT with data in the body.

    `body` is the statement without its final semicolons, `format` the output format in its text,
    `format_start` the position of that FORMAT: only the engine decides whether it is a clause.
    """

    body: bytes
    first_word: bytes = b""
    format: str | None = None
    format_start: int = 0

    def into_file(self, path: str, default_format: str) -> bytes:
        """The statement with an output file, assuming that it has no FORMAT clause."""
        return self.body + f"\nINTO OUTFILE '{path}' APPEND FORMAT {default_format}".encode()

    def formatted_into_file(self, path: str) -> bytes:
        """The statement with an output file, assuming that it has a FORMAT clause."""
        head, tail = self.body[: self.format_start], self.body[self.format_start :]
        return head + f"INTO OUTFILE '{path}' APPEND ".encode() + tail

    @property
    def unformatted(self) -> bytes:
        return self.body[: self.format_start] if self.format else self.body


@dataclass(frozen=True)
class Insert:
    """`INSERT ... FORMAT x` and the data after it.

    `target` is the text before SETTINGS and FORMAT, `settings` the text between these two.
    """

    target: str
    settings: str
    format: str
    data: bytes


def parse(sql: bytes) -> Query | Insert:
    """Split an INSERT from its data, or any other statement from its format.

    Raises ClickHouseError for several statements in one request, for files of the server, and for
    `INSERT ... SELECT ... FROM input()`.
    """
    tokens = _top_level_tokens(sql)
    first = next(tokens, None)
    kind = first[0].upper() if first else b""
    if kind == b"WITH" and _INSERT_AFTER_WITH.search(sql):
        before, tokens = tee(tokens)
        if (b"INSERT", b"INTO") in pairwise(token[0].upper() for token in before):
            return _parse_insert(
                sql, kind, dropwhile(lambda token: token[0].upper() != b"INSERT", tokens)
            )
    return (
        _parse_insert(sql, kind, tokens) if kind == b"INSERT" else _parse_query(sql, kind, tokens)
    )


def with_query_id(query: Query, query_id: str) -> bytes:
    """The statement with the client's id in place of `queryID()`, which gives the engine's own."""
    if query.first_word not in (
        b"SELECT",
        b"WITH",
        b"FROM",
        b"(",
        b"INSERT",
    ) or not _QUERY_ID_CALL.search(query.body):
        return query.body
    literal = quoted(query_id, "'").encode()
    parts, end = [], 0
    tokens = list(_tokens(query.body))
    for name, opening, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if name[0].upper() in _QUERY_ID_FUNCTIONS and (opening[0], closing[0]) == (b"(", b")"):
            parts += [query.body[end : name.start()], b"(" + literal + b" AS `" + name[0] + b"()`)"]
            end = closing.end()
    return b"".join(parts) + query.body[end:]


def killing_by_client_id(query: Query, setting: str) -> bytes:
    """The KILL QUERY with `query_id` replaced: the engine has ids of its own.

    The client's id is in the setting `setting` of each query.
    """
    expression = f"if(mapContains(Settings, '{setting}'), Settings['{setting}'], query_id)".encode()
    parts, end = [], 0
    for token in _tokens(query.body):
        if token[0].lower() == b"query_id":
            parts += [query.body[end : token.start()], expression]
            end = token.end()
    return b"".join(parts) + query.body[end:]


def format_name(name: str) -> str:
    """The name itself. Raises ClickHouseError 73 for text that cannot be a format's name."""
    if not _FORMAT_NAME.fullmatch(name):
        raise ClickHouseError.refused(73, "UNKNOWN_FORMAT", f"Unknown format {name!r}")
    return name


def quoted(text: str, quote: str) -> str:
    """The text as a literal (') or a name (`) of ClickHouse's SQL."""
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


def _parse_insert(sql: bytes, kind: bytes, tokens: Iterator[re.Match[bytes]]) -> Query | Insert:
    selects, target_end = False, 0
    for token in tokens:
        word = token[0].upper()
        if word in (b"VALUES", b";"):
            break
        if word == b"INFILE":
            raise ClickHouseError.refused(
                48, "NOT_IMPLEMENTED", "INSERT FROM INFILE is not allowed over HTTP: send the data"
            )
        if word == b"SETTINGS":
            target_end = token.start()
        selects = selects or word in (b"SELECT", b"WITH")
        name = next(tokens, None) if word == b"FORMAT" else None
        if name and not selects:
            target, settings = (
                sql[: target_end or token.start()],
                sql[target_end or token.start() : token.start()],
            )
            return Insert(
                target.decode(),
                settings.decode(),
                name[0].decode(),
                _after_line_break(sql[name.end() :]),
            )
        if name and sql[name.end() :].strip():
            # chDB would run the statement, ignore the rows and answer 200.
            raise ClickHouseError.refused(
                48,
                "NOT_IMPLEMENTED",
                "INSERT ... SELECT from data in the request is not supported here",
            )
    return Query(sql, kind)


def _parse_query(sql: bytes, kind: bytes, tokens: Iterator[re.Match[bytes]]) -> Query:
    body_tokens: list[re.Match[bytes]] = []
    body_end = len(sql)
    for token in tokens:
        if token[0] == b";":
            body_end = min(body_end, token.start())
        elif body_end < len(sql):
            raise ClickHouseError.refused(
                62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)"
            )
        else:
            body_tokens.append(token)
    words = [token[0].upper() for token in body_tokens]
    if (b"INTO", b"OUTFILE") in pairwise(words):
        raise ClickHouseError.refused(
            48, "NOT_IMPLEMENTED", "INTO OUTFILE is not allowed over HTTP: read the answer"
        )
    clause = max(
        (index for index, word in enumerate(words[:-1]) if word == b"FORMAT"), default=None
    )
    if clause is None:
        return Query(sql[:body_end], kind)
    name = body_tokens[clause + 1][0].decode()
    return Query(sql[:body_end], kind, name, body_tokens[clause].start())


def _tokens(sql: bytes) -> Iterator[re.Match[bytes]]:
    return (match for match in _TOKEN.finditer(sql) if not match[0].startswith(_COMMENT_STARTS))


def _top_level_tokens(sql: bytes) -> Iterator[re.Match[bytes]]:
    """Words, literals and semicolons outside parentheses and comments; a first `(` counts too.

    Lazy, because an INSERT's data may follow.
    """
    depth = 0
    for index, token in enumerate(_tokens(sql)):
        if token[0] == b"(":
            depth += 1
            if index == 0:
                yield token
        elif token[0] == b")":
            depth -= 1
        elif depth == 0:
            yield token


def _after_line_break(rest: bytes) -> bytes:
    """The data after the format's name: ClickHouse skips the blanks and one line break."""
    rest = rest.lstrip(b" \t")
    return rest.removeprefix(b"\r\n") if rest.startswith(b"\r\n") else rest.removeprefix(b"\n")
