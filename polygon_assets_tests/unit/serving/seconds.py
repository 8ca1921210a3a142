"""Random seconds of random symbols, and the rows that must win, computed the slow way."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from clickhouse_connect.driver.client import Client

from polygon_assets.messages import FilteredAggregate, encode

# 2024-03-08 14:30:00 UTC, the opening of a regular trading day.
OPENING_MS = 1_709_908_200_000


@dataclass(frozen=True)
class Second:
    symbol: str
    start_ms: int
    received_us: int
    open: float
    high: float
    low: float
    close: float
    volume: Decimal
    vwap: float | None
    source: Literal["websocket", "rest"] = "websocket"

    @property
    def key(self) -> tuple[str, int]:
        return self.symbol, self.start_ms

    def message(self) -> bytes:
        return encode(
            FilteredAggregate(
                symbol=self.symbol,
                start_timestamp=self.start_ms,
                end_timestamp=self.start_ms + 1000,
                open=self.open,
                high=self.high,
                low=self.low,
                close=self.close,
                volume=str(self.volume),
                vwap=self.vwap,
                accumulated_volume=None,
                official_open_price=None,
                aggregate_vwap=None,
                average_size=None,
                otc=False,
                received_at=self.received_us,
                source=self.source,
                readable_timestamp="2024-03-08T14:30:00.000Z",
            )
        )


def random_seconds(
    rng: random.Random, symbols: Iterable[str], first_ms: int, count: int
) -> list[Second]:
    """`count` seconds per symbol, 1 to 17 s apart; every tenth is sent again with other prices."""
    seconds: list[Second] = []
    for symbol in symbols:
        start = first_ms
        for _ in range(count):
            start += 1000 * rng.choice((1, 1, 1, 1, 2, 3, 9, 10, 11, 17))
            seconds.append(_second(rng, symbol, start, lateness_us=250_000))
            if rng.random() < 0.1:
                seconds.append(_second(rng, symbol, start, lateness_us=9_000_000))
    return seconds


def _second(rng: random.Random, symbol: str, start_ms: int, lateness_us: int) -> Second:
    cents = [rng.randrange(9_000, 11_000) for _ in range(4)]
    return Second(
        symbol=symbol,
        start_ms=start_ms,
        received_us=start_ms * 1000 + 1_000_000 + lateness_us,
        open=cents[0] / 100,
        high=max(cents) / 100,
        low=min(cents) / 100,
        close=cents[1] / 100,
        volume=Decimal(rng.randrange(1, 10**9)) / 10**6,
        vwap=None if rng.random() < 0.2 else sum(cents) / 400,
    )


def newest(seconds: Iterable[Second]) -> dict[tuple[str, int], Second]:
    """The version of each second that must win."""
    winners: dict[tuple[str, int], Second] = {}
    for second in seconds:
        if second.key not in winners or second.received_us > winners[second.key].received_us:
            winners[second.key] = second
    return winners


def insert(client: Client, seconds: Iterable[Second]) -> None:
    block = b"\n".join(second.message() for second in seconds)
    client.raw_insert("market.stock_aggregates_ingest", insert_block=block, fmt="JSONEachRow")


def insert_in_disorder(
    client: Client, rng: random.Random, seconds: list[Second], repeats: int = 2
) -> None:
    """Insert every second `repeats` times, in random order, in batches of random size.

    So late rows, corrections and replays come at once.
    """
    shuffled = seconds * repeats
    rng.shuffle(shuffled)
    while shuffled:
        size = rng.randrange(20, 200)
        insert(client, shuffled[:size])
        shuffled = shuffled[size:]
