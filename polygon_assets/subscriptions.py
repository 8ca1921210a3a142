"""The subscription CSV: which channels to stream. Parsing, validation, difference and cost, all pure.

Reading and publishing it in S3 is `clients.subscription_store`'s business.
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

REGULAR_SECONDS = 6.5 * 3600
EXTENDED_SECONDS = 16 * 3600
NAMED_SYMBOL_RATE = 1.0
"""Events per second: a symbol that is worth naming trades in nearly every second of regular hours, and no symbol has more than one."""
WHOLE_MARKET_RATE = 1_000.0
"""Events per second of A.*: the vendor's published mean."""


@dataclass(frozen=True)
class BadLine:
    """A record of the CSV that cannot be used; `number` is its first line, counted from 1 with the header."""

    number: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.text!r}: {self.reason}"


@dataclass(frozen=True)
class ParsedCsv:
    """What a CSV asks for: channels in sorted order, and the records that cannot be used. Valid without bad lines."""

    channels: tuple[str, ...]
    bad_lines: tuple[BadLine, ...]


@dataclass(frozen=True)
class Difference:
    """Channels that one version has and the other has not, each sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """What a set of channels will cost: for names an upper bound, for A.* the vendor's published mean."""

    events_per_second: float
    rows_per_day: int


class AcceptedSet(msgspec.Struct, frozen=True):
    """A validated set as it is published: what producer and filter obey until the next one."""

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
        return (
            None
            if WILDCARD in self.channels
            else frozenset(channel.partition(".")[2] for channel in self.channels)
        )


@dataclass(frozen=True)
class _Record:
    """One record of the CSV: the line it begins on, its text, its cells, and why it is no record."""

    number: int
    text: str
    cells: list[str]
    fault: str = ""

    def bad(self, reason: str) -> BadLine:
        return BadLine(self.number, self.text, reason)


@dataclass
class _Channels:
    """What has been collected while reading: each channel with the record that first named it."""

    first: dict[str, _Record] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)


def parse(text: str, known_tickers: Collection[str]) -> ParsedCsv:
    """Validate every record of a subscription CSV.

    The header names the column `channel` and, optionally, `note`; a channel is `A.<TICKER>` or `A.*`.
    A quoted note may span lines. Empty records and empty columns without a name are skipped, as
    spreadsheets write them. A ticker must be in `known_tickers`, because the vendor confirms a
    mistyped one and then stays silent.
    """
    records = [
        record
        for record in _records(text.removeprefix("\ufeff"))
        if record.fault or any(record.cells)
    ]
    header, rows = (records[0], records[1:]) if records else (_Record(1, "", []), [])
    if fault := header.fault or _header_fault(header):
        return ParsedCsv((), (header.bad(fault),))
    columns = [name.lower() for name in header.cells]
    channels = _Channels()
    for record in rows:
        _read_record(channels, record, columns, known_tickers)
    channels.bad.extend(_wildcard_faults(channels.first))
    if not rows:
        reason = (
            "the file names no channel; an empty set would stop the stream: stop its runs instead"
        )
        channels.bad.append(header.bad(reason))
    return ParsedCsv(tuple(sorted(channels.first)), tuple(channels.bad))


def accept(csv_text: str, channels: tuple[str, ...], etag: str, accepted_at: str) -> AcceptedSet:
    """The publishable form of a valid CSV."""
    digest = hashlib.sha256(csv_text.encode()).hexdigest()
    etag = etag.strip('"')
    return AcceptedSet(f"{etag}-{digest[:12]}", etag, digest, accepted_at, channels)


def difference(previous: Iterable[str], current: Iterable[str]) -> Difference:
    """What changed from one set of channels to the next."""
    before, after = set(previous), set(current)
    return Difference(tuple(sorted(after - before)), tuple(sorted(before - after)))


def estimate(channels: Collection[str]) -> Estimate:
    """Events per second and rows per day of a set of channels."""
    if WILDCARD in channels:
        return Estimate(WHOLE_MARKET_RATE, round(WHOLE_MARKET_RATE * EXTENDED_SECONDS))
    rate = NAMED_SYMBOL_RATE * len(channels)
    return Estimate(rate, round(rate * REGULAR_SECONDS))


def _records(text: str) -> Iterator[_Record]:
    """Every record, its cells without surrounding blanks. Only CR, LF and CRLF end a line."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    # Strict, because the lenient reader takes an unclosed quote, and every line after it, for a note.
    # Blanks before a quote are skipped, because the quote would otherwise not count as one.
    reader = csv.reader(lines(), strict=True, skipinitialspace=True)
    number = 1
    while True:
        taken.clear()
        fault, cells = "", []
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"not a CSV record ({error}); close every quote, and write a quote inside a note twice"
        yield _Record(number, "".join(taken).rstrip("\r\n"), cells, fault)
        number += len(taken)


def _header_fault(header: _Record) -> str | None:
    names = [name.lower() for name in header.cells]
    for name in KNOWN_COLUMNS:
        if names.count(name) > 1:
            places = " and ".join(
                str(place) for place, each in enumerate(names, start=1) if each == name
            )
            return f"column {name!r} stands more than once (columns {places}); keep one of them"
    if "channel" not in names:
        return f"the first line must be the header `channel` or `channel,note`{_header_hint(header.text)}"
    unknown = [name for name in names if name and name not in KNOWN_COLUMNS]
    return (
        f"unknown column {unknown[0]!r}; known are {', '.join(KNOWN_COLUMNS)}" if unknown else None
    )


def _header_hint(text: str) -> str:
    if "\ufffd" in text or "\0" in text:
        return "; the file is not UTF-8 text: save it as `CSV UTF-8`"
    if ";" in text or "\t" in text:
        return "; the columns are not separated by commas: save the file as comma-separated values"
    return ""


def _read_record(
    channels: _Channels, record: _Record, columns: list[str], known_tickers: Collection[str]
) -> None:
    channel, fault = "", record.fault or _surplus_fault(record.cells, columns)
    if not fault:
        channel = dict(zip(columns, record.cells, strict=False)).get("channel", "")
        fault = _channel_fault(channel, known_tickers) or ""
    if not fault and channel in channels.first:
        fault = f"duplicate of line {channels.first[channel].number}"
    if fault:
        channels.bad.append(record.bad(fault))
    else:
        channels.first[channel] = record


def _surplus_fault(cells: list[str], columns: list[str]) -> str:
    """Why a record has too many cells: one that is not empty stands in a column without a name."""
    named = [*columns, *[""] * (len(cells) - len(columns))]
    surplus = [cell for name, cell in zip(named, cells, strict=False) if cell and not name]
    if not surplus:
        return ""
    return (
        f"{len(cells)} values for {len(list(filter(None, columns)))} columns: "
        f"{surplus[0]!r} is in a column without a name; quote a note that holds a comma"
    )


def _channel_fault(channel: str, known_tickers: Collection[str]) -> str | None:
    kind, dot, symbol = channel.partition(".")
    if not dot or not symbol:
        return "a channel is written A.<TICKER>, for example A.AAPL, or A.*"
    if kind != PER_SECOND:
        return f"unknown channel {kind!r}; per-second aggregates are A"
    if symbol == "*":
        return None
    if not SYMBOL.fullmatch(symbol):
        return f"{symbol!r} is not a ticker symbol"
    return (
        None
        if symbol in known_tickers
        else f"ticker {symbol!r} is not in the vendor's reference data"
    )


def _wildcard_faults(first: dict[str, _Record]) -> Iterator[BadLine]:
    if WILDCARD in first and len(first) > 1:
        yield first[WILDCARD].bad(
            "A.* already holds every symbol; keep it alone or name the symbols"
        )
