"""How long to wait before the next try: exponential, capped, with jitter. Who tries what belongs to the callers."""

import random


class Backoff:
    """Delays of about 0.5, 1, 2, 4 … seconds up to `longest`, each a random part of the full delay, so that copies do not retry in step."""

    def __init__(
        self, first: float = 0.5, longest: float = 30.0, rng: random.Random | None = None
    ) -> None:
        self._first = first
        self._longest = longest
        self._rng = rng or random.Random()
        self._tries = 0

    def next_delay(self) -> float:
        """Seconds to wait now; the next call's answer is about twice as long."""
        full = min(self._longest, self._first * 2.0**self._tries)
        self._tries += 1
        return full * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start from the shortest delay again."""
        self._tries = 0
