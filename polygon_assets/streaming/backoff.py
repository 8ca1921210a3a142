"""Delays before the next attempt: exponential, capped, with jitter.

Only the delay belongs here; what is attempted, and what resets the delay, belongs to `producer`,
`batch_loop` and `dead_letter_loader`.
"""

import random


class Backoff:
    """Delays of about 0.5, 1, 2, 4 … seconds up to `longest`.

    Each is a random part of the full delay, so that copies of a program do not retry in step.
    """

    def __init__(
        self, first: float = 0.5, longest: float = 30.0, rng: random.Random | None = None
    ) -> None:
        self._first = first
        self._longest = longest
        self._rng = rng or random.Random()
        self._full = first

    def next_delay(self) -> float:
        """Seconds to wait now; the next delay is about twice as long."""
        full = min(self._longest, self._full)
        self._full = 2 * full
        return full * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start from the shortest delay again."""
        self._full = self._first
