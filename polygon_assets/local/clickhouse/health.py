"""Checks that the engine answers queries: once a second, and on each `/ping`.

Add health checks here; the consequence of a dead engine (the end of the process) belongs to
`__main__`.
"""

import logging
import threading
import time
from collections.abc import Callable

from polygon_assets.local.clickhouse.errors import ClickHouseError

logger = logging.getLogger(__name__)
_INTERVAL_SECONDS = 1.0
# `/ping` must answer within 2 s; an engine that is only busy can take longer.
_PATIENCE_SECONDS = 1.5
# Merges and queries on a busy machine delayed `SELECT 1` by 14 s at most.
_HUNG_SECONDS = 60.0
# Error codes of a living engine: a limit was reached, or a client cancelled the probe.
# TIMEOUT_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES, MEMORY_LIMIT_EXCEEDED, QUERY_WAS_CANCELLED,
# CANNOT_SCHEDULE_TASK
_ALIVE_CODES = {159, 202, 241, 394, 439}


class EngineWatch:
    """Calls `probe` regularly in its own thread, and `died` once when the engine is dead."""

    def __init__(self, probe: Callable[[], None], died: Callable[[str], None]) -> None:
        self._probe = probe
        self._died = died
        self._probe_now = threading.Event()
        self._stopped = threading.Event()
        self._answered = threading.Condition()
        self._probes = 0
        self._answers = 0
        self._probed_at = time.monotonic()
        self._cause_of_death = ""
        self._thread = threading.Thread(target=self._watch, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; wait only briefly for a running probe, so a busy engine can stop too."""
        self._stopped.set()
        self._probe_now.set()
        self._thread.join(_PATIENCE_SECONDS)

    def problem(self) -> str:
        """Probe now; the reason why the engine is dead or hung, empty if it is healthy or busy."""
        with self._answered:
            expected = self._probes + 1
            self._probe_now.set()
            self._answered.wait_for(
                lambda: self._cause_of_death or self._answers >= expected, _PATIENCE_SECONDS
            )
            if self._cause_of_death:
                return self._cause_of_death
            waited = time.monotonic() - self._probed_at
            hung = self._answers < self._probes and waited > _HUNG_SECONDS
            return f"the engine has not answered for {waited:.0f} s" if hung else ""

    def _watch(self) -> None:
        while not self._stopped.is_set():
            cause_of_death = self._run_probe()
            if cause_of_death and not self._stopped.is_set():
                self._record(cause_of_death)
                self._died(cause_of_death)
                return
            self._probe_now.wait(_INTERVAL_SECONDS)
            self._probe_now.clear()

    def _run_probe(self) -> str:
        """Probe once; the error of a dead engine, or empty."""
        with self._answered:
            self._probes += 1
            self._probed_at = time.monotonic()
        try:
            self._probe()
        except ClickHouseError as error:
            if error.code not in _ALIVE_CODES:
                return str(error)
            logger.warning("the engine refused the health check: %s", error)
        self._record()
        return ""

    def _record(self, cause_of_death: str = "") -> None:
        with self._answered:
            self._answers = self._probes
            self._cause_of_death = cause_of_death
            self._answered.notify_all()
