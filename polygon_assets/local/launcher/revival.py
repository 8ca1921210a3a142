"""Restarts servers of the stack that died or hang, and gives up on a server that keeps dying.

Add the decision when to restart a server, and its line on the terminal, here; starting a server
belongs to `stack`.
"""

import math
import time
from collections.abc import Callable, Sequence

from polygon_assets.inspection.disk import free_bytes, scarcity
from polygon_assets.local.launcher.stack import ServerFailedError, Stack
from polygon_assets.settings import load_settings

DEATHS = 3
WITHIN_SECONDS = 300.0
"""After its third death within five minutes a server is not restarted: the cause is permanent."""
CHECK_SECONDS = 5.0
HUNG_SECONDS = 60.0
"""Longer than 14 s (busy ClickHouse on a loaded machine) and 9 s (a reload of Dagster)."""


def is_hopeless(deaths: Sequence[float], now: float) -> bool:
    """Whether a server that died at these times, the last of them now, has died too often."""
    return sum(now - death < WITHIN_SECONDS for death in deaths) >= DEATHS


class Revival:
    """Restarts a stack's servers. Call `check` regularly from the thread that started the stack.

    The kernel ends a server when the thread that started it ends (see Process).
    """

    def __init__(
        self,
        stack: Stack,
        show: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`show` prints one line on the terminal."""
        self._stack = stack
        self._show = show
        self._clock = clock
        self._deaths: dict[str, list[float]] = {}
        self._last_answer: dict[str, float] = {}
        self._last_check = -math.inf
        self._restarted_for: set[str] = set()
        self._is_scarce = False
        self._wanted_bytes = load_settings().alert_disk_free_bytes

    def check(self) -> None:
        """Restart each server that died, hangs, or is broken inside.

        Raises ServerFailedError for a server that keeps dying, or that twice does not become ready.
        """
        for name, code in self._stack.ended().items():
            self._restart(name, f"died (exit code {code})")
        if self._clock() - self._last_check < CHECK_SECONDS:
            return
        self._last_check = self._clock()
        self._warn_of_scarce_space()
        for name in self._stack.ports:
            if not self._stack.answers(name):
                if self._hangs(name):
                    self._restart(name, f"did not answer for {HUNG_SECONDS:.0f} s")
                continue
            self._last_answer[name] = self._clock()
            if (broken := self._stack.broken(name)) and broken not in self._restarted_for:
                # Once: a start that does not help would end the stack at the third time.
                self._restarted_for.add(broken)
                self._restart(name, broken)
            elif repaired := self._stack.repair(name):
                self._show(f"{name}: {repaired}")

    def _warn_of_scarce_space(self) -> None:
        """Print a line when disk space runs short, and a line when enough is free again."""
        folder = self._stack.data_dir
        scarce = scarcity(str(folder), free_bytes(folder), self._wanted_bytes)
        if bool(scarce) != self._is_scarce:
            self._show(scarce or "there is enough free space again")
        self._is_scarce = bool(scarce)

    def _hangs(self, name: str) -> bool:
        """Whether a server that does not answer now has not done so for long."""
        return self._clock() - self._last_answer.setdefault(name, self._clock()) >= HUNG_SECONDS

    def _restart(self, name: str, cause: str) -> None:
        now = self._clock()
        deaths = self._deaths.setdefault(name, [])
        deaths.append(now)
        if is_hopeless(deaths, now):
            raise ServerFailedError(
                f"{name} {cause}, {DEATHS} times within {WITHIN_SECONDS / 60:.0f} minutes; "
                f"it is not started again. {self._stack.log_end(name)}\n"
                "Free memory or disk if the log names them; otherwise `make clean` and start anew"
            )
        self._show(f"{name} {cause}, starting it again")
        try:
            self._stack.restart(name)
        except ServerFailedError as error:
            # Something may have been in its way, such as a client's connection from its port.
            self._show(f"{str(error).partition(';')[0]}, starting it once more")
            self._stack.restart(name)
        self._last_answer[name] = self._clock()
        lost = self._stack.lost_on_restart(name)
        self._show(
            f"{name} is back after {self._clock() - now:.0f} s" + (f"; {lost}" if lost else "")
        )
