"""What the tests of gaps share: a gap, the seconds that it lost, and what is stored of them."""

import datetime as dt
import time
from contextlib import closing
from decimal import Decimal

from polygon_assets.clients import clickhouse
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.harness import Programs, eventually
from polygon_assets_tests.processes.live_market import SYMBOLS, Live

Second = tuple[str, int]
Values = tuple[float, float, float, float, Decimal]


class OfStack(Environment):
    """The environment of a running stack."""

    values: dict[str, str]

    def settings(self) -> Settings:
        return Settings.model_validate(self.values)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def stored(settings: Settings, since: dt.datetime, until: dt.datetime) -> dict[Second, Values]:
    """The stored seconds of SYMBOLS in an interval, as a reader sees them."""
    query = """
        SELECT symbol, toUnixTimestamp64Milli(start_timestamp), open, high, low, close, volume
        FROM market.stock_aggregates FINAL
        WHERE start_timestamp >= {since:DateTime64(3)} AND start_timestamp < {until:DateTime64(3)}
    """
    with closing(clickhouse.connect(settings)) as client:
        rows = client.query(query, parameters={"since": since, "until": until}).result_rows
    return {(symbol, start): tuple(values) for symbol, start, *values in rows if symbol in SYMBOLS}


def final(live: Live, since: dt.datetime, until: dt.datetime) -> dict[Second, Values]:
    """The final values of every second with trades, by the exchange's seed."""
    return {
        (symbol, bar.start_timestamp): (
            bar.open_price,
            bar.high,
            bar.low,
            bar.close_price,
            Decimal(bar.decimal_volume or bar.volume),
        )
        for symbol in SYMBOLS
        for bar in live.truth.final(symbol)
        if since.timestamp() * 1000 <= bar.start_timestamp < until.timestamp() * 1000
    }


def crash_and_return(live: Live, programs: Programs) -> GapEntry:
    """The gap that a killed producer leaves, a few seconds after the next one has reported it."""
    first = live.start(*SYMBOLS)
    for name in ("filter", "sink"):
        programs.start(name)
    first_ms = live.sent()[0]["first_second"] * 1000
    live.beat_with(first, lambda last: (last.newest_event or 0) >= first_ms)
    first.kill()
    time.sleep(2)
    second = live.start(*SYMBOLS)
    [gap] = second.until(live.gaps, "a gap is in the ledger")
    entry = gap_ledger.reported(gap)
    eventually(lambda: now() > entry.until + dt.timedelta(seconds=3), "its seconds are final")
    return entry
