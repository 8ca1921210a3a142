"""One writer at a time: who may change tables, until when, and when an abandoned transaction loses the right.

Snowflake lets writers of one table wait for each other, where DuckDB fails the later one. What a session is stands in `engine`.
"""

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager


class WriterWaitError(Exception):
    """Another session kept the right to write for too long; the message says how long."""


class Holder:
    """What may hold the right to write, also between two statements: a session."""

    running = False
    used_at = 0.0
    """`time.monotonic()` at the end of its last statement."""

    def abandon(self) -> None:
        """Roll back what is open; called when it is idle and another waits."""


class Writers:
    """The right to write, of all tables together: the embedded server is not about parallel writing."""

    def __init__(self, wait_seconds: float, idle_seconds: float) -> None:
        """A writer waits for `wait_seconds` at the most; who has the right and runs nothing for `idle_seconds` loses it to a waiter."""
        self._wait_seconds = wait_seconds
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        # Weak: a session that was closed or has expired holds nothing.
        self._owner: weakref.ref[Holder] | None = None

    @contextmanager
    def statement(self, holder: Holder) -> Iterator[None]:
        """While a statement of `holder` runs, nobody takes the right from it."""
        with self._changed:
            holder.running = True
        try:
            yield
        finally:
            with self._changed:
                holder.running = False
                holder.used_at = time.monotonic()

    def acquire(self, holder: Holder) -> None:
        """Return once `holder` has the right, at once if it has it already. Raises WriterWaitError."""
        deadline = time.monotonic() + self._wait_seconds
        with self._changed:
            while (owner := self._current()) is not None and owner is not holder:
                now = time.monotonic()
                if now > deadline:
                    raise WriterWaitError(
                        f"another session has been writing for more than {self._wait_seconds:.0f} s"
                    )
                if not owner.running and now - owner.used_at > self._idle_seconds:
                    owner.abandon()
                    break
                self._changed.wait(0.2)
            self._owner = weakref.ref(holder)

    def release(self, holder: Holder) -> None:
        """Give the right back; nothing happens when `holder` does not have it."""
        with self._changed:
            if self._current() is holder:
                self._owner = None
                self._changed.notify_all()

    def _current(self) -> Holder | None:
        return self._owner() if self._owner else None
