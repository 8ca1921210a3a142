"""A producer on the simulated live market, and the seconds missing from the topic outside any gap.

Programs without the live market belong to harness; the expected messages belong to market_truth.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

from polygon_assets.local.exchange.market.lateness import LONGEST_DELAY, Rates
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.messages import Gap, Heartbeat, RawAggregate
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.harness import (
    Exchange,
    Program,
    Programs,
    beat,
    eventually,
    gaps,
    put_in_force,
    raw_aggregates,
)
from polygon_assets_tests.processes.market_truth import Key, Truth, as_sent

SERVERS = ("exchange", "kafka", "s3")
TICKERS, ACTIVITY, FRACTIONS = 60, 50.0, 0.9
RATES = Rates(correction=0.2, duplicate=0.05)
EXCHANGE_OPTIONS = (
    *("--tickers", str(TICKERS), "--activity", str(ACTIVITY)),
    *("--fraction-rate", str(FRACTIONS), "--hold-seconds", "0.3"),
    *("--correction-rate", str(RATES.correction), "--duplicate-rate", str(RATES.duplicate)),
)
"""Nearly every ticker trades every second; one second in five is corrected within 15 minutes."""
SYMBOLS = ("AAPL", "AMD", "AMZN", "BRK.B", "GOOGL", "META", "MSFT", "NVDA", "SPY", "TSLA")


def channels(symbols: Collection[str]) -> list[str]:
    """The channels of the symbols, sorted."""
    return sorted(f"A.{symbol}" for symbol in symbols)


class Live:
    """One test's view of the live market: only messages received since its start count."""

    def __init__(
        self, settings: Settings, exchange: Exchange, programs: Programs, truth: Truth
    ) -> None:
        self.settings = settings
        self.exchange = exchange
        self.truth = truth
        self.programs = programs
        self._started_us = time.time_ns() // 1000

    def start(self, *symbols: str, prelude: str = "", **environment: str) -> Program:
        """Start a producer for the symbols and wait until the exchange sends it their events."""
        put_in_force(self.settings, *channels(symbols))
        program = self.programs.start("producer", prelude=prelude, **environment)
        self.connection(program, symbols)
        return program

    def connection(
        self, program: Program, symbols: Collection[str], after: int = 0
    ) -> dict[str, Any]:
        """The connection numbered above `after` that gets exactly these symbols' events."""

        def find() -> dict[str, Any] | None:
            for connection in self.exchange.connections():
                started = connection["sent"]["last_second"] is not None and not connection["ended"]
                if (
                    started
                    and connection["id"] > after
                    and connection["channels"] == channels(symbols)
                ):
                    return connection
            return None

        connection = program.until(find, f"a connection above {after} gets {symbols}")
        assert connection is not None
        return connection

    def connections_opened(self) -> list[dict[str, Any]]:
        """The connections opened since the test began, oldest first."""
        return [
            connection
            for connection in self.exchange.all_connections()
            if connection["opened_at"] * 1e6 >= self._started_us
        ]

    def newest(self) -> int:
        """The number of this test's newest connection."""
        return int(self.connections_opened()[-1]["id"])

    def beat(self) -> Heartbeat:
        """The newest heartbeat of a producer of this test."""

        def find() -> Heartbeat | None:
            last = beat(self.settings, "producer")
            return last if last and last.started_at * 1000 >= self._started_us else None

        last = eventually(find, "a heartbeat")
        assert last is not None
        return last

    def beat_with(self, program: Program, expected: Callable[[Heartbeat], bool]) -> Heartbeat:
        """The first heartbeat for which `expected` is true."""
        [last] = program.until(
            lambda: [last for last in (self.beat(),) if expected(last)], "a heartbeat as expected"
        )
        return last

    def received(self) -> list[RawAggregate]:
        """The messages of this test's producers, in the order of arrival."""
        return raw_aggregates(self.settings, self._started_us)

    def written(self) -> set[Key]:
        """Symbol and start of the seconds in the topic."""
        return {(item.symbol, item.start_timestamp) for item in self.received()}

    def newest_start(self) -> int:
        """The start of the newest second in the topic; 0 when there is none."""
        return max((start for _, start in self.written()), default=0)

    def versions(self) -> dict[Key, list[RawAggregate]]:
        """The different versions of each second in the topic, in the order of arrival."""
        by_second: dict[Key, list[RawAggregate]] = defaultdict(list)
        received = self.received()
        for item, version in zip(received, as_sent(received), strict=True):
            versions = by_second[item.symbol, item.start_timestamp]
            if not versions or as_sent(versions[-1:]) != [version]:
                versions.append(item)
        return by_second

    def gaps(self) -> list[Gap]:
        """The gaps of this test's connections."""
        return gaps(self.settings, self._started_us // 1000)

    def sent(self) -> list[dict[str, Any]]:
        """The exchange's counts for each connection that carried events, oldest first."""
        return [
            connection["sent"]
            for connection in self.connections_opened()
            if connection["sent"]["last_second"]
        ]

    def missing(self, *symbols: str) -> list[Key]:
        """The seconds sent for the symbols that are neither in the topic nor within a gap."""
        sent = self.sent()
        expected = self.truth.keys(symbols, sent[0]["first_second"], sent[-1]["last_second"])
        assert expected
        ledger = self.gaps()
        lost = expected - self.written()
        return sorted(
            key for key in lost if not any(gap.since <= key[1] < gap.until for gap in ledger)
        )


def live_truth() -> Truth:
    """The exchange's truth for the next hour and for the revision window before it."""
    now = int(time.time())
    market = Market(
        tickers=TICKERS, calendar=MarketCalendar("24/7"), activity=ACTIVITY, fraction_rate=FRACTIONS
    )
    return Truth(market, RATES, now - LONGEST_DELAY - 60, now + 3600)
