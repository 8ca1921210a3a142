"""The events of one benchmark, drawn once: as vendor frames, raw messages and filtered messages.

Every contender reads the same files; slow ones read only the beginning. What happens to the events
belongs to `contenders`.
"""

import time
from itertools import islice
from pathlib import Path

import msgspec

from polygon_assets.events.validation import to_row
from polygon_assets.events.vendor_channels import read_frame, to_raw
from polygon_assets.local.exchange.market.lateness import Rates
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.stream.tape import Tape
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.messages import encode

FULL_MARKET_TICKERS = 13_000
"""The simulated exchange lists about 92 % of the tickers on a given day, so about 12,000 trade."""
ALL_TRADE_EACH_SECOND = 1e9
EVENTS_PER_FRAME = 200
AGE_SECONDS = 3600
HOLD_US = 2_000_000
"""The vendor sends a second about two seconds after it has ended."""

Message = tuple[bytes, bytes]
"""Key and value."""


def draw(folder: Path, events: int) -> None:
    """Write the three files: `events` aggregates of a full market that traded an hour ago."""
    frames = _frames(events)
    aggregates = [aggregate for frame in frames for aggregate in read_frame(frame).aggregates]
    raw = [to_raw(aggregate, aggregate.end_timestamp * 1000 + HOLD_US) for aggregate in aggregates]
    _write(folder / "frames", frames)
    _write(folder / "raw", [(event.symbol.encode(), encode(event)) for event in raw])
    _write(folder / "filtered", [(event.symbol.encode(), encode(to_row(event))) for event in raw])


def frames(folder: Path, events: int) -> list[bytes]:
    """The first frames, which hold `events` aggregates."""
    return msgspec.msgpack.decode((folder / "frames").read_bytes(), type=list[bytes])[
        : events // EVENTS_PER_FRAME
    ]


def messages(folder: Path, kind: str, events: int) -> list[Message]:
    """The first `events` messages of kind `raw` or `filtered`."""
    return msgspec.msgpack.decode((folder / kind).read_bytes(), type=list[Message])[:events]


def _frames(events: int) -> list[bytes]:
    market = Market(
        tickers=FULL_MARKET_TICKERS, calendar=MarketCalendar("24/7"), activity=ALL_TRADE_EACH_SECOND
    )
    tape = Tape(market, Rates(0, 0))
    second = int(time.time()) - AGE_SECONDS
    drawn: list[bytes] = []
    while len(drawn) < events:
        drawn.extend(islice(tape.events_of(second).events, events - len(drawn)))
        second += 1
    return [
        b"[" + b",".join(drawn[start : start + EVENTS_PER_FRAME]) + b"]"
        for start in range(0, events, EVENTS_PER_FRAME)
    ]


def _write(path: Path, content: object) -> None:
    path.write_bytes(msgspec.msgpack.encode(content))
