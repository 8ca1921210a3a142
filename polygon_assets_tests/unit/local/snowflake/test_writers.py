"""Who may write to the embedded Snowflake, and when an abandoned transaction loses the right."""

import gc
import threading
import time

import pytest

from polygon_assets.local.snowflake.writers import Holder, Writers, WriterWaitError


class Session(Holder):
    """A session that notes whether it was rolled back."""

    def __init__(self) -> None:
        self.used_at = time.monotonic()
        self.abandoned = False

    def abandon(self) -> None:
        self.abandoned = True


def test_a_writer_waits_until_the_right_is_free() -> None:
    writers, first, second = Writers(30, 30), Session(), Session()
    writers.acquire(first)
    writers.acquire(first)
    waiting = threading.Thread(target=writers.acquire, args=(second,))
    waiting.start()
    assert waiting.is_alive()
    writers.release(second)
    writers.release(first)
    waiting.join(10)
    assert not waiting.is_alive()
    assert not first.abandoned


def test_waiting_ends_with_an_error_that_says_how_long() -> None:
    writers, first, second = Writers(wait_seconds=0, idle_seconds=30), Session(), Session()
    writers.acquire(first)
    with pytest.raises(WriterWaitError, match="another session has been writing for more than 0 s"):
        writers.acquire(second)


def test_an_idle_transaction_is_rolled_back_for_a_waiter_but_not_one_that_is_running() -> None:
    writers, first, second = Writers(wait_seconds=0.1, idle_seconds=0), Session(), Session()
    writers.acquire(first)
    with writers.statement(first), pytest.raises(WriterWaitError):
        writers.acquire(second)
    assert not first.abandoned
    writers.acquire(second)
    assert first.abandoned


def test_a_session_that_is_gone_holds_nothing() -> None:
    writers, first, second = Writers(0, 30), Session(), Session()
    writers.acquire(first)
    del first
    gc.collect()
    writers.acquire(second)
