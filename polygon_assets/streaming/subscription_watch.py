"""The accepted subscription set as the programs see it: read from S3 every two seconds.

Reading and keeping the last good set belongs here; what a change means belongs to the programs.
"""

import logging
import threading
import time

from polygon_assets.clients.subscription_store import SubscriptionStore, SubscriptionStoreError
from polygon_assets.subscriptions import AcceptedSet

POLL_SECONDS = 2.0
STOP_SECONDS = 1.0
"""A store that does not answer (the client gives up after 30 s) must not use up the drain time."""

_log = logging.getLogger("subscriptions")


class SubscriptionWatch:
    """The newest accepted set; None until the first one is published."""

    def __init__(self, store: SubscriptionStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="subscriptions", daemon=True)
        self._symbols: frozenset[str] | None = frozenset()
        self.current: AcceptedSet | None = None
        self._failed_at = -POLL_SECONDS
        self.loaded_at_us = 0
        """When the set was last known to be the newest, in Unix microseconds."""
        self.problem = "nothing is published yet: materialize s3/subscriptions"

    def start(self) -> None:
        """Read once, then every two seconds in a thread."""
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        """End the thread, if it was started."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def refresh(self) -> bool:
        """Read the set now; False when S3 did not answer, and the last good set stays."""
        with self._lock:
            requested_at_us = time.time_ns() // 1000
            try:
                accepted = self._store.accepted()
            except SubscriptionStoreError as error:
                self._report(str(error))
                self._failed_at = time.monotonic()
                return False
            if accepted is not None:
                self._apply(accepted)
            self.loaded_at_us = requested_at_us
            return True

    def keeps(self, symbol: str, received_at_us: int) -> bool:
        """Whether a symbol is subscribed.

        A producer may follow a newer set than this process, so a set older than the message proves
        nothing: it is read again before a message is dropped, and if that fails, the message stays.
        """
        if self._has(symbol):
            return True
        if self.loaded_at_us > received_at_us:
            return False
        if time.monotonic() < self._failed_at + POLL_SECONDS:
            return True
        return not self.refresh() or self._has(symbol)

    def _has(self, symbol: str) -> bool:
        symbols = self._symbols
        return symbols is None or symbol in symbols

    def _apply(self, accepted: AcceptedSet) -> None:
        if self.current is None or accepted.version != self.current.version:
            _log.info("version %s: %d channels", accepted.version, len(accepted.channels))
        self._symbols = accepted.symbols
        self.current = accepted
        self.problem = ""

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            _log.warning("%s; the last good set stays", problem)
        self.problem = problem

    def _run(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            self.refresh()
