"""The write lock: one session at a time changes tables, and an idle transaction can lose the lock.

In Snowflake, writers of one table wait for each other; in DuckDB, the later one fails. Add locking
rules here; sessions belong to `engine`.
"""

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from polygon_assets.errors import PolygonAssetsError


class WriterWaitError(PolygonAssetsError):
    """Another session kept the write lock for too long; the message gives the time."""


class LockHolder:
    """A session, which may keep the write lock between two statements."""

    running = False
    used_at = 0.0
    """`time.monotonic()` at the end of the session's last statement."""

    def abandon(self) -> None:
        """Roll back the open transaction; called when the session is idle and another waits."""


class WriteLock:
    """One lock for all tables: the embedded server does not need parallel writing."""

    def __init__(self, wait_seconds: float, idle_seconds: float) -> None:
        """A session waits up to `wait_seconds`; an owner idle for `idle_seconds` loses the lock."""
        self._wait_seconds = wait_seconds
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        # A weak reference, so that a closed or expired session frees the lock.
        self._owner: weakref.ref[LockHolder] | None = None

    @contextmanager
    def statement(self, holder: LockHolder) -> Iterator[None]:
        """Mark a statement of `holder` as running: no other session can take the lock meanwhile."""
        with self._changed:
            holder.running = True
        try:
            yield
        finally:
            with self._changed:
                holder.running = False
                holder.used_at = time.monotonic()

    def acquire(self, holder: LockHolder) -> None:
        """Return once `holder` has the lock; it may have it already. Raises WriterWaitError."""
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

    def release(self, holder: LockHolder) -> None:
        """Release the lock; does nothing if `holder` does not have it."""
        with self._changed:
            if self._current() is holder:
                self._owner = None
                self._changed.notify_all()

    def _current(self) -> LockHolder | None:
        return self._owner() if self._owner else None
