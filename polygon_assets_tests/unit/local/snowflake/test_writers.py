"""The write lock of the embedded Snowflake: waiting, time limit, idle owners."""

import gc
import threading
import time

import pytest

from polygon_assets.local.snowflake.writers import LockHolder, WriteLock, WriterWaitError


class Session(LockHolder):
    """A session that records whether it was rolled back."""

    def __init__(self) -> None:
        self.used_at = time.monotonic()
        self.abandoned = False

    def abandon(self) -> None:
        self.abandoned = True


def test_a_writer_waits_until_the_lock_is_free() -> None:
    lock, first, second = WriteLock(30, 30), Session(), Session()
    lock.acquire(first)
    lock.acquire(first)
    waiting = threading.Thread(target=lock.acquire, args=(second,))
    waiting.start()
    assert waiting.is_alive()
    lock.release(second)
    lock.release(first)
    waiting.join(10)
    assert not waiting.is_alive()
    assert not first.abandoned


def test_waiting_ends_with_an_error_that_gives_the_time() -> None:
    lock, first, second = WriteLock(wait_seconds=0, idle_seconds=30), Session(), Session()
    lock.acquire(first)
    with pytest.raises(WriterWaitError, match="another session has been writing for more than 0 s"):
        lock.acquire(second)


def test_a_waiter_rolls_back_an_idle_transaction_but_not_a_running_one() -> None:
    lock, first, second = WriteLock(wait_seconds=0.1, idle_seconds=0), Session(), Session()
    lock.acquire(first)
    with lock.statement(first), pytest.raises(WriterWaitError):
        lock.acquire(second)
    assert not first.abandoned
    lock.acquire(second)
    assert first.abandoned


def test_a_deleted_session_frees_the_lock() -> None:
    lock, first, second = WriteLock(0, 30), Session(), Session()
    lock.acquire(first)
    del first
    gc.collect()
    lock.acquire(second)
