"""What is true of any run: a run that holds a pool is recognised by its log lines."""

import logging
import threading

import pytest

from polygon_assets.defs.graph import runs


def test_a_run_that_holds_a_pool_writes_a_line_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = threading.Semaphore(0)

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "at work":
                lines.release()

    log = logging.Logger("run")
    log.addHandler(Handler())
    monkeypatch.setattr(runs, "LOG_EVERY_SECONDS", 0.001)
    threads = threading.active_count()
    with runs.log_while_running(log):
        assert all(lines.acquire(timeout=10) for _ in range(3))
    assert threading.active_count() == threads
