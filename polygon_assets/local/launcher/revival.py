"""Starts servers of the stack again that died or hang, and gives up on one that keeps dying.

How a server is started is `stack`'s business; here is when, and what the person at the terminal reads.
"""

import math
import time
from collections.abc import Callable, Sequence

from polygon_assets.inspection.disk import free_bytes, scarcity
from polygon_assets.local.launcher.stack import ServerFailedError, Stack

DEATHS = 3
WITHIN_SECONDS = 300.0
"""The third death of one server within five minutes is no accident."""
LOOK_SECONDS = 5.0
HUNG_SECONDS = 60.0
"""ClickHouse was busy for 14 s on a loaded machine, and a reload of Dagster takes 9 s: neither is hung."""


def is_hopeless(deaths: Sequence[float], now: float) -> bool:
    """Whether a server that died at these times, the last one now, will die again."""
    return sum(now - death < WITHIN_SECONDS for death in deaths) >= DEATHS


class Revival:
    """Looks after a stack. Call `look` again and again from the thread that started it (see Process)."""

    def __init__(
        self, stack: Stack, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stack = stack
        self._say = say
        self._clock = clock
        self._deaths: dict[str, list[float]] = {}
        self._well_at: dict[str, float] = {}
        self._looked_at = -math.inf
        self._is_scarce = False

    def look(self) -> None:
        """Start again what has died or hangs. Raises ServerFailedError for a server that keeps dying or does not come back."""
        for name, code in self._stack.ended().items():
            self._revive(name, f"died (exit code {code})")
        if self._clock() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = self._clock()
        self._warn_of_scarce_space()
        for name in self._stack.ports:
            if self._hangs(name):
                self._revive(name, f"did not answer for {HUNG_SECONDS:.0f} s")
            elif mended := self._stack.mend(name):
                self._say(f"{name}: {mended}")

    def _warn_of_scarce_space(self) -> None:
        """Once when space runs short, and once when it is there again."""
        scarce = scarcity(self._stack.data_dir, free_bytes(self._stack.data_dir))
        if bool(scarce) != self._is_scarce:
            self._say(scarce or "there is enough free space again")
        self._is_scarce = bool(scarce)

    def _hangs(self, name: str) -> bool:
        if self._stack.answers(name):
            self._well_at[name] = self._clock()
        return self._clock() - self._well_at.setdefault(name, self._clock()) >= HUNG_SECONDS

    def _revive(self, name: str, what: str) -> None:
        now = self._clock()
        deaths = self._deaths.setdefault(name, [])
        deaths.append(now)
        if is_hopeless(deaths, now):
            raise ServerFailedError(
                f"{name} {what}, {DEATHS} times within {WITHIN_SECONDS / 60:.0f} minutes; it is not started again. "
                f"{self._stack.last_words(name)}\nFree memory or disk if the log names them; otherwise `make clean` and start anew"
            )
        self._say(f"{name} {what}, starting it again")
        self._stack.restart(name)
        self._well_at[name] = self._clock()
        lost = self._stack.forgets(name)
        self._say(
            f"{name} is back after {self._clock() - now:.0f} s" + (f"; {lost}" if lost else "")
        )
