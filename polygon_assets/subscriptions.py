"""The subscription CSV, which lists the channels to stream: parsing, validation, difference, cost.

Add a rule for the CSV here, as a pure function; reading and publishing it in S3 belongs to
`clients.subscription_store`. One bad line refuses the whole file, and the set in force stays.
"""

import csv
import hashlib
import io
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

PER_SECOND = "A"
WILDCARD = f"{PER_SECOND}.*"
KNOWN_COLUMNS = ("channel", "note")
SYMBOL = re.compile(r"[A-Z][A-Za-z0-9]*(?:[./-][A-Za-z0-9]+)*")
"""A US ticker as the vendor spells it: BRK.B, BACpE, ABR.WS."""
WHOLE_MARKET_SYMBOLS = 12_000
"""About the number of listed US tickers, OTC excluded: the symbols of `A.*`."""


def channel_of(symbol: str) -> str:
    """The channel of a symbol's aggregates per second."""
    return f"{PER_SECOND}.{symbol}"


def symbol_of(channel: str) -> str:
    """The symbol of a channel."""
    return channel.partition(".")[2]


@dataclass(frozen=True)
class BadLine:
    """An invalid record of the CSV; `number` is its first line, and the header is line 1."""

    number: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.text!r}: {self.reason}"


@dataclass(frozen=True)
class ParsedCsv:
    """The channels of a CSV, sorted, and its invalid records; a valid CSV has none."""

    channels: tuple[str, ...]
    bad_lines: tuple[BadLine, ...]


@dataclass(frozen=True)
class Difference:
    """The channels added and removed between two versions, each sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]


class AcceptedSet(msgspec.Struct, frozen=True):
    """A validated set of channels, as published; producer and filter follow the newest one."""

    version: str
    """`<etag>-<first 12 digits of the content's SHA-256>`."""
    etag: str
    content_sha256: str
    accepted_at: str
    """UTC, ISO 8601."""
    channels: tuple[str, ...]

    @property
    def symbols(self) -> frozenset[str] | None:
        """The symbols to keep; None keeps every symbol."""
        return None if WILDCARD in self.channels else frozenset(map(symbol_of, self.channels))


@dataclass(frozen=True)
class _Record:
    """One record of the CSV: its first line's number, its text, its cells, and the syntax error."""

    number: int
    text: str
    cells: list[str]
    syntax_error: str = ""

    def bad(self, reason: str) -> BadLine:
        return BadLine(self.number, self.text, reason)


@dataclass
class _Channels:
    """The result so far of reading: each channel with its first record, and the bad lines."""

    first_records: dict[str, _Record] = field(default_factory=dict)
    bad_lines: list[BadLine] = field(default_factory=list)


def parse(text: str, known_tickers: Collection[str] | None) -> ParsedCsv:
    """Validate every record of a subscription CSV.

    The header names the column `channel` and, optionally, `note`; a channel is `A.<TICKER>` or
    `A.*`. A quoted note may span lines. Empty records and empty columns without a name are skipped,
    because spreadsheets write them. A ticker must be in `known_tickers`, because the vendor
    confirms the channel of a mistyped ticker and then never sends an event; None skips that rule.
    """
    records = [
        record
        for record in _records(text.removeprefix("\ufeff"))
        if record.syntax_error or any(record.cells)
    ]
    header, rows = (records[0], records[1:]) if records else (_Record(1, "", []), [])
    if reason := header.syntax_error or _header_error(header):
        return ParsedCsv((), (header.bad(reason),))
    columns = [name.lower() for name in header.cells]
    channels = _Channels()
    for record in rows:
        _read_record(channels, record, columns, known_tickers)
    channels.bad_lines.extend(_wildcard_errors(channels.first_records))
    if not rows:
        reason = (
            "the file names no channel, and an empty set would stop the stream; add a channel, "
            "or stop the stream's runs"
        )
        channels.bad_lines.append(header.bad(reason))
    return ParsedCsv(tuple(sorted(channels.first_records)), tuple(channels.bad_lines))


def accept(csv_text: str, channels: tuple[str, ...], etag: str, accepted_at: str) -> AcceptedSet:
    """The set to publish for a valid CSV and its channels."""
    digest = hashlib.sha256(csv_text.encode()).hexdigest()
    etag = etag.strip('"')
    return AcceptedSet(f"{etag}-{digest[:12]}", etag, digest, accepted_at, channels)


def difference(previous: Iterable[str], current: Iterable[str]) -> Difference:
    """The channels that were added and removed from one set to the next."""
    before, after = set(previous), set(current)
    return Difference(tuple(sorted(after - before)), tuple(sorted(before - after)))


def _records(text: str) -> Iterator[_Record]:
    """Every record, with cells without surrounding blanks. Only CR, LF and CRLF end a line."""
    record_lines: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            record_lines.append(line)
            yield line

    # Strict, because the lenient reader takes an unclosed quote and all lines after it for a note.
    # Blanks before a quote are skipped, because otherwise the quote would be part of the cell.
    reader = csv.reader(lines(), strict=True, skipinitialspace=True)
    number = 1
    while True:
        record_lines.clear()
        syntax_error, cells = "", []
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            syntax_error = (
                f"not a CSV record ({error}); "
                "close every quote, and write a quote inside a note twice"
            )
        yield _Record(number, "".join(record_lines).rstrip("\r\n"), cells, syntax_error)
        number += len(record_lines)


def _header_error(header: _Record) -> str | None:
    """Why the header is invalid; None if it is valid."""
    names = [name.lower() for name in header.cells]
    for name in KNOWN_COLUMNS:
        if names.count(name) > 1:
            columns = " and ".join(
                str(column) for column, other in enumerate(names, start=1) if other == name
            )
            return f"column {name!r} occurs more than once (columns {columns}); keep one of them"
    if "channel" not in names:
        hint = _header_hint(header.text)
        return f"the first line must be the header `channel` or `channel,note`{hint}"
    unknown = [name for name in names if name and name not in KNOWN_COLUMNS]
    return (
        f"unknown column {unknown[0]!r}; known are {', '.join(KNOWN_COLUMNS)}" if unknown else None
    )


def _header_hint(text: str) -> str:
    """The likely cause and the cure of a missing header; empty if there is no guess."""
    if "\ufffd" in text or "\0" in text:
        return "; the file is not UTF-8 text: save it as `CSV UTF-8`"
    if ";" in text or "\t" in text:
        return "; the columns are not separated by commas: save the file as comma-separated values"
    return ""


def _read_record(
    channels: _Channels, record: _Record, columns: list[str], known_tickers: Collection[str] | None
) -> None:
    """Add a record's channel, or the record as a bad line."""
    channel, reason = "", record.syntax_error or _surplus_error(record.cells, columns)
    if not reason:
        channel = dict(zip(columns, record.cells, strict=False)).get("channel", "")
        reason = _channel_error(channel, known_tickers) or ""
    if not reason and channel in channels.first_records:
        reason = f"duplicate of line {channels.first_records[channel].number}; remove one of them"
    if reason:
        channels.bad_lines.append(record.bad(reason))
    else:
        channels.first_records[channel] = record


def _surplus_error(cells: list[str], columns: list[str]) -> str:
    """The error of a record with a value in a column without a name; empty if it has none."""
    names = [*columns, *[""] * (len(cells) - len(columns))]
    surplus = [cell for name, cell in zip(names, cells, strict=False) if cell and not name]
    if not surplus:
        return ""
    return (
        f"{len(cells)} values for {len(list(filter(None, columns)))} columns: "
        f"{surplus[0]!r} is in a column without a name; quote a note that contains a comma"
    )


def _channel_error(channel: str, known_tickers: Collection[str] | None) -> str | None:
    """Why a channel is invalid; None if it is valid."""
    kind, dot, symbol = channel.partition(".")
    if not dot or not symbol:
        return "a channel is written A.<TICKER>, for example A.AAPL, or A.*"
    if kind != PER_SECOND:
        return f"unknown channel {kind!r}; write A, the channel of per-second aggregates"
    if symbol == "*":
        return None
    if not SYMBOL.fullmatch(symbol):
        return f"{symbol!r} is not a ticker symbol; write it as the vendor does, for example BRK.B"
    return (
        None
        if known_tickers is None or symbol in known_tickers
        else f"ticker {symbol!r} is not in the vendor's reference data"
    )


def _wildcard_errors(first_records: dict[str, _Record]) -> Iterator[BadLine]:
    if WILDCARD in first_records and len(first_records) > 1:
        yield first_records[WILDCARD].bad(
            "A.* already includes every symbol; keep only this line, or remove it"
        )
