"""Random numbers that can be read in any order: hashes of integers.

Add number generation here; the meaning of the numbers for prices and volumes belongs to `day` and
`bars`.
"""

import numpy as np
from numpy.typing import NDArray

Uints = NDArray[np.uint64]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLY_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = np.uint64(0x94D049BB133111EB)


def mix(values: Uints) -> Uints:
    """64 well-mixed bits for each value (splitmix64's finaliser); changes `values` in place.

    In place, because it saves memory.
    """
    values ^= values >> np.uint64(30)
    values *= _MULTIPLY_1
    values ^= values >> np.uint64(27)
    values *= _MULTIPLY_2
    values ^= values >> np.uint64(31)
    return values


def hashed(*keys: int | Ints | Uints) -> Uints:
    """One hash per element of the broadcast keys; the order of the keys matters."""
    state = np.zeros(1, dtype=np.uint64)
    for key in keys:
        state = mix(
            (state + GOLDEN) ^ mix(np.atleast_1d(np.asarray(key)).astype(np.uint64) * GOLDEN)
        )
    return state


def bits(values: Uints, shift: int, width: int) -> Ints:
    """`width` bits of each hash, as integers from 0 to 2**width - 1."""
    drawn = values >> np.uint64(shift)
    drawn &= np.uint64((1 << width) - 1)
    return drawn.view(np.int64)


def fraction(values: Uints, shift: int, width: int) -> Floats:
    """`width` bits of each hash, as numbers in [0, 1)."""
    # The conversion by itself, and an exact factor: half the time of a division of integers.
    drawn = bits(values, shift, width).astype(np.float64)
    drawn *= 1.0 / (1 << width)
    return drawn


def value_noise(keys: Uints, position: int, period: int) -> Floats:
    """Smooth noise in [-1, 1] per key: hashed values every `period`, linearly interpolated."""
    lattice, offset = divmod(position, period)
    left, right = (
        2.0 * fraction(hashed(keys, lattice + step, period), 0, 32) - 1.0 for step in (0, 1)
    )
    return left + (right - left) * (offset / period)
