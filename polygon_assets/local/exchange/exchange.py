"""The simulated exchange as one object: market, clock, feeds, faults, account and limits.

Add rules about accounts, connection caps and request rates here; receiving requests belongs to
`server`.
"""

import asyncio
import datetime as dt
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Literal

from polygon_assets.local.exchange.faults import Faults
from polygon_assets.local.exchange.market.clock import Clock
from polygon_assets.local.exchange.market.lateness import Rates
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.stream.feed import Feed
from polygon_assets.local.exchange.stream.tape import Tape
from polygon_assets.local.exchange.stream.websocket import Connection

_PREPARED_DAYS = 10
"""A day of the whole market takes about a second; these are likely to be asked for first."""
_PREPARED_AT_ONCE = 3
_SECONDS_BETWEEN_PREPARATIONS = 5.0
"""Older days wait, because a start has better uses for the processor."""

Eviction = Literal["older", "newer", "abort"]


@dataclass(frozen=True)
class Options:
    """The exchange's behaviour; the market's parameters belong to `Market`."""

    api_key: str
    hold_seconds: float = 2.0
    delayed_minutes: float = 15.0
    max_connections: int = 1
    evict: Eviction = "older"
    auth_seconds: float = 10.0
    ping_seconds: float = 20.0
    buffer_bytes: int = 8 << 20


@dataclass(eq=False)
class Exchange:
    """One account (`options.api_key`) with two clusters: real-time and delayed stocks."""

    market: Market
    clock: Clock
    options: Options
    rates: Rates = field(default_factory=Rates)
    requests_per_minute: int | None = None
    faults: Faults = field(default_factory=Faults)
    requests_served: int = 0
    _requests: deque[float] = field(default_factory=deque)

    @cached_property
    def feeds(self) -> dict[str, Feed]:
        """The feeds by URL path; the vendor has a separate host for each instead."""
        delays = {"/stocks": 0.0, "/delayed/stocks": 60.0 * self.options.delayed_minutes}
        return {path: self._feed(delay) for path, delay in delays.items()}

    def _feed(self, delay: float) -> Feed:
        return Feed(
            Tape(self.market, self.rates, self.clock.first_second - int(delay)),
            self.clock,
            self.faults,
            self.options.hold_seconds + delay,
        )

    def get_ready(self) -> None:
        """Sum the newest finished day, so that not even the first request for it waits."""
        for day in islice(self.market.finished_days(self._now), 1):
            self.market.prepare_day(day)

    async def run(self) -> None:
        preparation = prepare(self.market, self._now, _SECONDS_BETWEEN_PREPARATIONS)
        await asyncio.gather(preparation, *(feed.run() for feed in self.feeds.values()))

    @property
    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.clock.now(), dt.UTC)

    def knows_key(self, key: str) -> bool:
        return key == self.options.api_key and not self.faults.key_refused

    def join(self, feed: Feed, connection: Connection) -> None:
        """Add an authenticated connection to its feed, and evict connections above the cap."""
        feed.join(connection)
        live = [other for other in feed.connections if not other.end_reason]
        while len(live) > self.options.max_connections:
            evicted = live.pop(-1 if self.options.evict == "newer" else 0)
            evicted.evict(abort=self.options.evict == "abort")

    def over_rate(self, now: float) -> bool:
        """Count a REST request at `now` (monotonic seconds); true above the limit per minute."""
        self.requests_served += 1
        while self._requests and self._requests[0] <= now - 60.0:
            self._requests.popleft()
        if self.requests_per_minute is not None and len(self._requests) >= self.requests_per_minute:
            return True
        self._requests.append(now)
        return False


async def prepare(market: Market, now: dt.datetime, pause_seconds: float) -> None:
    """Sum the newest finished days ahead of the first requests for them."""
    for number, day in enumerate(islice(market.finished_days(now), _PREPARED_DAYS)):
        if number >= _PREPARED_AT_ONCE:
            await asyncio.sleep(pause_seconds)
        await asyncio.to_thread(market.prepare_day, day)
