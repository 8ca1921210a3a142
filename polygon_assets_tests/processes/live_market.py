"""A producer on the simulated live market, and the question that each outage ends with: is anything missing that no gap tells of?"""

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
    *(
        "--tickers",
        str(TICKERS),
        "--activity",
        str(ACTIVITY),
        "--fraction-rate",
        str(FRACTIONS),
        "--hold-seconds",
        "0.3",
    ),
    *("--correction-rate", str(RATES.correction), "--duplicate-rate", str(RATES.duplicate)),
)
"""Nearly every ticker trades in nearly every second, and one in five seconds is corrected within 15 minutes."""
SYMBOLS = ("AAPL", "AMD", "AMZN", "BRK.B", "GOOGL", "META", "MSFT", "NVDA", "SPY", "TSLA")


def channels(symbols: Collection[str]) -> list[str]:
    """Their channels, sorted."""
    return sorted(f"A.{symbol}" for symbol in symbols)


class Live:
    """One test's view: only what was received since the test began counts."""

    def __init__(
        self, settings: Settings, exchange: Exchange, programs: Programs, truth: Truth
    ) -> None:
        self.settings = settings
        self.exchange = exchange
        self.truth = truth
        self.programs = programs
        self._started_us = time.time_ns() // 1000

    def start(self, *symbols: str, prelude: str = "", **environment: str) -> Program:
        """Start a producer for the symbols and wait until it is sent their events."""
        put_in_force(self.settings, *channels(symbols))
        program = self.programs.start("producer", prelude=prelude, **environment)
        self.connection(program, symbols)
        return program

    def connection(
        self, program: Program, symbols: Collection[str], after: int = 0
    ) -> dict[str, Any]:
        """The connection with a number above `after` that is sent exactly these symbols' events."""

        def look() -> dict[str, Any] | None:
            for connection in self.exchange.connections():
                started = connection["sent"]["last_second"] is not None and not connection["ended"]
                if (
                    started
                    and connection["id"] > after
                    and connection["channels"] == channels(symbols)
                ):
                    return connection
            return None

        found = program.until(look, f"a connection above {after} is sent {symbols}")
        assert found is not None
        return found

    def connections_opened(self) -> list[dict[str, Any]]:
        """This test's connections, oldest first."""
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
        return eventually(
            lambda: (
                (last := beat(self.settings, "producer"))
                and last.started_at * 1000 >= self._started_us
                and last
            ),
            "a heartbeat",
        )  # type: ignore[return-value]

    def beat_with(self, program: Program, expected: Callable[[Heartbeat], bool]) -> Heartbeat:
        """The first heartbeat that is as expected."""
        found = program.until(
            lambda: [last for last in (self.beat(),) if expected(last)], "a heartbeat as expected"
        )
        return found[0]

    def received(self) -> list[RawAggregate]:
        """What this test's producers wrote, in the order in which it was received."""
        return raw_aggregates(self.settings, self._started_us)

    def written(self) -> set[Key]:
        """The seconds in the topic."""
        return {(item.symbol, item.start_timestamp) for item in self.received()}

    def newest_start(self) -> int:
        """The start of the newest second in the topic; 0 when there is none."""
        return max((start for _, start in self.written()), default=0)

    def versions(self) -> dict[Key, list[RawAggregate]]:
        """The different versions of each second in the topic, in the order in which they were received."""
        found: dict[Key, list[RawAggregate]] = defaultdict(list)
        received = self.received()
        for item, version in zip(received, as_sent(received), strict=True):
            versions = found[item.symbol, item.start_timestamp]
            if not versions or as_sent(versions[-1:]) != [version]:
                versions.append(item)
        return found

    def gaps(self) -> list[Gap]:
        """The gaps of this test's connections."""
        return gaps(self.settings, self._started_us // 1000)

    def sent(self) -> list[dict[str, Any]]:
        """What was sent on each connection of this test that carried events, oldest first."""
        return [
            connection["sent"]
            for connection in self.connections_opened()
            if connection["sent"]["last_second"]
        ]

    def missing(self, *symbols: str) -> list[Key]:
        """Seconds of the symbols from the first to the last second sent that are neither in the topic nor within a gap."""
        sent = self.sent()
        expected = self.truth.keys(symbols, sent[0]["first_second"], sent[-1]["last_second"])
        assert expected
        ledger = self.gaps()
        lost = expected - self.written()
        return sorted(
            key for key in lost if not any(gap.since <= key[1] < gap.until for gap in ledger)
        )


def live_truth() -> Truth:
    """The truth of the exchange with EXCHANGE_OPTIONS, for the next hour and the revision window before it."""
    now = int(time.time())
    market = Market(
        tickers=TICKERS, calendar=MarketCalendar("24/7"), activity=ACTIVITY, fraction_rate=FRACTIONS
    )
    return Truth(market, RATES, now - LONGEST_DELAY - 60, now + 3600)
