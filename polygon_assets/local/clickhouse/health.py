"""Whether the engine still answers: asked once a second, and by `/ping`.

What follows from a dead engine (the end of the process) is decided by `__main__`.
"""

import logging
import threading
import time
from collections.abc import Callable

from polygon_assets.local.clickhouse.errors import ClickHouseError

logger = logging.getLogger(__name__)
_INTERVAL_SECONDS = 1.0
# `/ping` must answer within 2 s; an engine that is only busy takes longer than that.
_PATIENCE_SECONDS = 1.5
# Merges and queries on a busy machine delayed `SELECT 1` by 14 s at most.
_HUNG_SECONDS = 60.0
# What a living engine refuses a query with: a limit was reached, or somebody cancelled the question.
_LIVING = {
    159,
    202,
    241,
    394,
    439,
}  # TIMEOUT_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES, MEMORY_LIMIT_EXCEEDED, ...


class EngineWatch:
    """Asks `probe` in a thread of its own, from `start` to `stop`, and calls `died` once when the engine is dead."""

    def __init__(self, probe: Callable[[], None], died: Callable[[str], None]) -> None:
        self._probe = probe
        self._died = died
        self._ask_now = threading.Event()
        self._stopped = threading.Event()
        self._answered = threading.Condition()
        self._asked = 0
        self._answers = 0
        self._asked_at = time.monotonic()
        self._dead = ""
        self._thread = threading.Thread(target=self._watch, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for a question on its way, but not for ever: a busy engine must not hold up the end."""
        self._stopped.set()
        self._ask_now.set()
        self._thread.join(_PATIENCE_SECONDS)

    def trouble(self) -> str:
        """Why the engine is not well; empty when it is. Asks it now, and takes a late answer for a busy engine."""
        with self._answered:
            wanted = self._asked + 1
            self._ask_now.set()
            self._answered.wait_for(
                lambda: self._dead or self._answers >= wanted, _PATIENCE_SECONDS
            )
            if self._dead:
                return self._dead
            waited = time.monotonic() - self._asked_at
            hung = self._answers < self._asked and waited > _HUNG_SECONDS
            return f"the engine has not answered for {waited:.0f} s" if hung else ""

    def _watch(self) -> None:
        while not self._stopped.is_set():
            dead = self._ask()
            if dead and not self._stopped.is_set():
                self._set(dead=dead)
                self._died(dead)
                return
            self._ask_now.wait(_INTERVAL_SECONDS)
            self._ask_now.clear()

    def _ask(self) -> str:
        """What the engine died of, or empty."""
        with self._answered:
            self._asked += 1
            self._asked_at = time.monotonic()
        try:
            self._probe()
        except ClickHouseError as error:
            if error.code not in _LIVING:
                return str(error)
            logger.warning("the engine refused the health check: %s", error)
        self._set()
        return ""

    def _set(self, dead: str = "") -> None:
        with self._answered:
            self._answers = self._asked
            self._dead = dead
            self._answered.notify_all()
