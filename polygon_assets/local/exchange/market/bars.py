"""Cuts minutes into one-second bars, which add up to the minute exactly.

Add rules about seconds here; minutes belong to `day`, larger bars belong to `sums`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from polygon_assets.local.exchange.market.day import CENT, SHARE, Cells
from polygon_assets.local.exchange.market.noise import GOLDEN, Ints, Uints, bits, mix

_PATTERNS = 1024


@dataclass(frozen=True, eq=False)
class Patterns:
    """Drawn once per seed: orders of a minute's seconds, and weights that distribute its volume."""

    order: NDArray[np.uint8]
    weight: Ints


def draw_patterns(seed: int) -> Patterns:
    """Random orders of a minute's 60 seconds, each with 60 weights from 1 to 401 (log-normal).

    `seed + 1` keeps them independent of the market's other draws.
    """
    generator = np.random.Generator(np.random.PCG64(seed + 1))
    order = generator.permuted(np.tile(np.arange(60, dtype=np.uint8), (_PATTERNS, 1)), axis=1)
    weight = 1 + np.minimum(400, generator.lognormal(2.5, 1.1, (_PATTERNS, 60))).astype(np.int64)
    return Patterns(order, weight)


@dataclass(frozen=True, eq=False)
class Bars:
    """Final one-second bars, one element per (ticker, second), in the order of their cells.

    `second` counts from the start of the session; `volume` is in thousandths of shares, prices are
    in cents, `notional` is in thousandths of shares times hundredths of a cent.
    `minute_volume`/`minute_notional` are running sums within the minute.
    """

    ticker: Ints
    second: Ints
    key: Uints
    volume: Ints
    notional: Ints
    trades: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    core_high: Ints
    """`core_high` and `core_low` exclude the trades that may be reported late."""
    core_low: Ints
    minute_volume: Ints
    minute_notional: Ints

    def __len__(self) -> int:
        return len(self.ticker)

    def where(self, chosen: NDArray[np.bool_] | Ints) -> "Bars":
        return Bars(
            **{name: column[chosen] for name, column in vars(self).items() if name in _FIELDS}
        )

    @cached_property
    def minute(self) -> Ints:
        return self.second // 60


_FIELDS = frozenset(Bars.__dataclass_fields__)


@dataclass(frozen=True, eq=False)
class _Segments:
    """The bars of each cell as a range of a flat array."""

    cell: Ints
    starts: Ints
    ends: Ints

    def running(self, values: Ints) -> Ints:
        """Running sums that restart with each cell."""
        total = np.cumsum(values)
        return total - (total[self.starts] - values[self.starts])[self.cell]

    def steps(self, running: Ints) -> Ints:
        """The single values of running sums: the inverse of `running`."""
        values = np.diff(running, prepend=0)
        values[self.starts] = running[self.starts]
        return values

    def share_out(self, totals: Ints, running_weight: Ints) -> Ints:
        """Distribute each cell's total over its bars by weight, without a rounding remainder."""
        whole = running_weight[self.ends][self.cell]
        return self.steps(totals[self.cell] * running_weight // whole)


def cut(cells: Cells, patterns: Patterns) -> Bars:
    """The one-second bars of the cells."""
    pattern = bits(cells.key, 0, 10)
    # A minute's row has as many true elements as the minute has bars.
    chosen = np.flatnonzero(patterns.order[pattern] < cells.bars.astype(np.uint8)[:, None])
    cell = np.repeat(np.arange(len(pattern)), cells.bars)
    place = chosen - 60 * cell
    ends = np.cumsum(cells.bars)
    segments = _Segments(cell, ends - cells.bars, ends - 1)
    key = mix(cells.key[cell] + (place + 1).astype(np.uint64) * GOLDEN)
    weight = segments.running(patterns.weight[pattern[cell], place])
    volume = _volumes(cells, segments, weight)
    running_volume = segments.running(volume)
    middle, notional = _notionals(
        cells, segments, _lines(cells, cell, place, key), volume, running_volume
    )
    ripple = cells.ripple[cell]
    move = ((bits(key, 12, 10) - 512) * ripple) >> 10
    open_, close = ((middle + offset + CENT // 2) // CENT for offset in (-move, move))
    core_high = np.maximum(np.maximum(open_, close), (middle + CENT + 1) // CENT)
    core_low = np.minimum(np.minimum(open_, close), middle // CENT)
    return Bars(
        ticker=cells.ticker[cell],
        second=60 * cells.minute[cell] + place,
        key=key,
        volume=volume,
        notional=notional,
        trades=2 + segments.share_out(cells.trades - 2 * cells.bars, weight),
        open=open_,
        close=close,
        core_high=core_high,
        core_low=core_low,
        high=core_high + _wick(ripple, bits(key, 22, 4)),
        low=core_low - _wick(ripple, bits(key, 26, 4)),
        minute_volume=running_volume,
        minute_notional=segments.running(notional),
    )


def _volumes(cells: Cells, segments: _Segments, weight: Ints) -> Ints:
    """Volumes of at least two shares, so that one can be reported late.

    The last bar has the minute's fraction of a share.
    """
    whole, part = np.divmod(cells.volume, SHARE)
    volume = SHARE * (2 + segments.share_out(whole - 2 * cells.bars, weight))
    volume[segments.ends] += part
    return volume


def _lines(cells: Cells, cell: Ints, place: Ints, key: Uints) -> Ints:
    """Prices on a line between the minute's ends, with random deviations."""
    stray = ((bits(key, 0, 12) - 2048) * cells.ripple[cell]) >> 11
    line: Ints = cells.opens[cell] + ((cells.closes - cells.opens)[cell] * place) // 60 + stray
    return line


def _notionals(
    cells: Cells, segments: _Segments, line: Ints, volume: Ints, running: Ints
) -> tuple[Ints, Ints]:
    """Middle price and notional per bar: the line, shifted so that notionals add up to `cells`."""
    total = np.add.reduceat(volume * line, segments.starts) if len(line) else line
    shift = (cells.notional - total) // cells.volume
    middle = line + shift[segments.cell]
    rest = cells.notional - total - shift * cells.volume
    # In floating point, because the product would exceed 64 bits. The last bar's share is exactly
    # 1, so nothing is lost.
    added = np.floor(rest[segments.cell] * (running / cells.volume[segments.cell])).astype(np.int64)
    return middle, volume * middle + segments.steps(added)


def _wick(ripple: Ints, size: Ints) -> Ints:
    """The wick in cents: none for half of the bars, else up to the ripple."""
    cents: Ints = (np.maximum(0, size - 7) * ripple) // (8 * CENT)
    return cents


def limits(cells: Cells) -> tuple[Ints, Ints]:
    """Bounds of each minute's prices, in hundredths of a cent, before `cut` rounds to cents."""
    # A minute's only bar lies at the minute's price; several bars deviate from the line, which ends
    # at half the move from that price, and are shifted back by at most the same amount.
    reach = cells.closes - cells.opens
    np.abs(reach, out=reach)
    reach += 2 * cells.ripple
    reach += 4
    reach *= cells.bars > 1
    longest_wick = cells.ripple // CENT
    longest_wick *= CENT
    reach += longest_wick
    move = cells.ripple >> 1
    reach += np.maximum(move, CENT // 2, out=move)
    reach += 2
    # Rounding to cents raises a price by up to half a cent.
    middle = cells.price
    middle += CENT // 2
    return middle + reach, np.subtract(middle, reach, out=middle)
