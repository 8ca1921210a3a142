"""The topic messages that the simulated exchange must have caused, computed from its seed.

Daily bars belong to batch_truth.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from polygon_assets.local.exchange.market.columns import Columns
from polygon_assets.local.exchange.market.day import SHARE
from polygon_assets.local.exchange.market.lateness import Rates
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.stream.tape import decimal
from polygon_assets.messages import RawAggregate

Key = tuple[str, int]
"""Symbol and start in Unix milliseconds."""
Version = RawAggregate
"""One version of a second, with `received_at` 0."""


@dataclass(frozen=True)
class Truth:
    """A market and its correction rates, from the Unix second `first` to before `end`."""

    market: Market
    rates: Rates
    first: int
    end: int
    _columns: dict[str, tuple[Columns, Columns]] = field(default_factory=dict)

    def versions(self, key: Key) -> tuple[Version, Version]:
        """The first and the final version of a second."""
        symbol, start_ms = key
        first, final = self._of(symbol)
        place = int(np.searchsorted(final.start_ms, start_ms))
        [earlier], [later] = (
            list(self._read(symbol, columns.rows(slice(place, place + 1))))
            for columns in (first, final)
        )
        assert later.start_timestamp == start_ms, f"{symbol} did not trade at {start_ms}"
        return earlier, later

    def final(self, symbol: str) -> Iterator[Version]:
        """The final version of each second with trades."""
        return self._read(symbol, self._of(symbol)[1])

    def keys(self, symbols: Collection[str], first: int, last: int) -> set[Key]:
        """Every second with trades from `first` to `last`, Unix seconds, both included."""
        assert self.first <= first <= last < self.end
        starts = {symbol: self._of(symbol)[1].start_ms for symbol in symbols}
        return {
            (symbol, start)
            for symbol in symbols
            for start in starts[symbol].tolist()
            if first <= start // 1000 <= last
        }

    def _of(self, symbol: str) -> tuple[Columns, Columns]:
        if symbol not in self._columns:
            days = {
                self.market.calendar.day_of(dt.datetime.fromtimestamp(second, dt.UTC))
                for second in (self.first, self.end - 1)
            }
            by_day = [
                messages
                for day in sorted(days)
                if (messages := self.market.messages(symbol, day, self.rates))
            ]
            first, final = (
                [self._within(getattr(messages, name)) for messages in by_day]
                for name in ("first", "final")
            )
            self._columns[symbol] = _concatenated(first), _concatenated(final)
        return self._columns[symbol]

    def _within(self, columns: Columns) -> Columns:
        return columns.rows(
            np.flatnonzero(
                (columns.start_ms >= 1000 * self.first) & (columns.start_ms < 1000 * self.end)
            )
        )

    def _read(self, symbol: str, columns: Columns) -> Iterator[Version]:
        otc = bool(self.market.universe.otc[self.market.universe.index[symbol]])
        for numbers in zip(*columns.lists(), strict=True):
            volume, total, vwap, open_, close, high, low, day_vwap, size, start, end, official = (
                numbers
            )
            yield RawAggregate(
                event_type="A",
                symbol=symbol,
                volume=int(volume) // SHARE,
                open_price=open_,
                close_price=close,
                high=high,
                low=low,
                start_timestamp=int(start),
                end_timestamp=int(end),
                received_at=0,
                source="websocket",
                accumulated_volume=int(total) // SHARE,
                official_open_price=official or None,
                vwap=vwap,
                aggregate_vwap=day_vwap,
                average_size=int(size),
                otc=otc,
                decimal_volume=decimal(int(volume)),
                decimal_accumulated_volume=decimal(int(total)),
            )


def as_sent(aggregates: Iterable[RawAggregate]) -> list[Version]:
    """The aggregates as the vendor sent them, without the time of arrival."""
    return [msgspec.structs.replace(item, received_at=0) for item in aggregates]


def _concatenated(parts: list[Columns]) -> Columns:
    return Columns(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Columns.__dataclass_fields__
        }
    )
