"""What a run that holds a pool owes to those that wait for it."""

import logging
import threading

import pytest

from polygon_assets.defs.graph import pools


def test_a_run_that_holds_a_pool_says_again_and_again_that_it_is_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = threading.Semaphore(0)

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "at work":
                heard.release()

    log = logging.Logger("run")
    log.addHandler(Ear())
    monkeypatch.setattr(pools, "WORD_EVERY_SECONDS", 0.001)
    threads = threading.active_count()
    with pools.log_while_running(log):
        assert all(heard.acquire(timeout=10) for _ in range(3))
    assert threading.active_count() == threads
