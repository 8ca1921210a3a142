"""The subscription CSV: which channels to stream. Parsing, validation, difference and cost, all pure.

Reading and publishing it in S3 is `clients.subscription_store`'s business.
"""

import csv
import hashlib
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
    """A line of the CSV that cannot be used; `number` counts from 1 and includes the header."""

    number: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.text!r}: {self.reason}"


@dataclass(frozen=True)
class ParsedCsv:
    """What a CSV asks for: channels in sorted order, and the lines that cannot be used. Valid without bad lines."""

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
        return None if WILDCARD in self.channels else frozenset(channel.partition(".")[2] for channel in self.channels)


@dataclass
class _Rows:
    """What has been collected while reading: channel to the line that first named it."""

    first_line: dict[str, int] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)


def parse(text: str, known_tickers: Collection[str]) -> ParsedCsv:
    """Validate every line of a subscription CSV.

    The header names the column `channel` and, optionally, `note`; a channel is `A.<TICKER>` or `A.*`. Blank lines are skipped.
    A ticker must be in `known_tickers`, because the vendor confirms a mistyped one and then stays silent.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    header = [name.strip().lower() for name in lines[0].split(",")] if lines else []
    if fault := _header_fault(header):
        return ParsedCsv((), (BadLine(1, lines[0] if lines else "", fault),))
    rows = _Rows()
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            _read_line(rows, number, line, header, known_tickers)
    rows.bad.extend(_wildcard_faults(rows.first_line, lines))
    if not rows.first_line and not rows.bad:
        rows.bad.append(BadLine(1, lines[0], "the file names no channel; an empty set would stop the stream: stop its runs instead"))
    return ParsedCsv(tuple(sorted(rows.first_line)), tuple(rows.bad))


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


def _header_fault(header: list[str]) -> str | None:
    if "channel" not in header:
        return "the first line must be the header `channel` or `channel,note`"
    unknown = [name for name in header if name not in KNOWN_COLUMNS]
    return f"unknown column {unknown[0]!r}; known are {', '.join(KNOWN_COLUMNS)}" if unknown else None


def _read_line(rows: _Rows, number: int, line: str, header: list[str], known_tickers: Collection[str]) -> None:
    values = next(csv.reader([line]))
    if len(values) > len(header):
        rows.bad.append(BadLine(number, line, f"{len(values)} values for {len(header)} columns; quote a note that holds a comma"))
        return
    channel = dict(zip(header, values, strict=False)).get("channel", "").strip()
    if channel in rows.first_line:
        rows.bad.append(BadLine(number, line, f"duplicate of line {rows.first_line[channel]}"))
    elif fault := _channel_fault(channel, known_tickers):
        rows.bad.append(BadLine(number, line, fault))
    else:
        rows.first_line[channel] = number


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
    return None if symbol in known_tickers else f"ticker {symbol!r} is not in the vendor's reference data"


def _wildcard_faults(first_line: dict[str, int], lines: list[str]) -> Iterator[BadLine]:
    if WILDCARD in first_line and len(first_line) > 1:
        number = first_line[WILDCARD]
        yield BadLine(number, lines[number - 1], "A.* already holds every symbol; keep it alone or name the symbols")
