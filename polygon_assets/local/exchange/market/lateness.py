"""Chooses the bars that are first sent incomplete and corrected later, and those sent twice.

Add such a choice here, as a pure function of a bar's key; sending belongs to `stream.tape`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polygon_assets.local.exchange.market.bars import Bars
from polygon_assets.local.exchange.market.day import SHARE
from polygon_assets.local.exchange.market.noise import GOLDEN, Ints, bits, fraction, mix

LONGEST_DELAY = 900
"""Seconds: the vendor's revision window."""
_SHORTEST_DELAY = 3


@dataclass(frozen=True)
class Rates:
    """Shares of all bars, from 0 to 1."""

    correction: float = 0.005
    duplicate: float = 0.001


@dataclass(frozen=True, eq=False)
class Lateness:
    """Per bar: whether a trade is late, its delay (seconds) and volume, whether it is repeated."""

    late: NDArray[np.bool_]
    delay: Ints
    late_volume: Ints
    repeated: NDArray[np.bool_]


def lateness(bars: Bars, rates: Rates) -> Lateness:
    """The lateness of each bar; half of the corrections follow within 2 minutes, few after 14."""
    key = mix(bars.key + GOLDEN)
    draw = bits(key, 24, 10)
    return Lateness(
        late=fraction(key, 0, 24) < rates.correction,
        delay=_SHORTEST_DELAY
        # Cubed: short delays are the most frequent.
        + (draw * draw * draw >> 20) * (LONGEST_DELAY - _SHORTEST_DELAY) // 1023,
        late_volume=SHARE * np.maximum(1, bars.volume // SHARE * (1 + bits(key, 34, 4)) // 64),
        repeated=fraction(key, 38, 24) < rates.duplicate,
    )
