"""What is true of any run: signs of its life, and of the code server that started it."""

import json
import logging
import socket
import threading
from pathlib import Path

import dagster as dg
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


def test_a_run_knows_whether_its_code_server_still_listens(tmp_path: Path) -> None:
    address = str(tmp_path / "socket")

    def is_gone(**tags: str) -> bool:
        with dg.DagsterInstance.ephemeral() as instance:
            run = instance.create_run_for_job(dg.job(name="run")(lambda: None), tags=tags)
            [facts] = runs.run_facts(instance, dg.RunsFilter(run_ids=[run.run_id]))
            return facts.launcher_is_gone

    tag = {".dagster/grpc_info": json.dumps({"host": "localhost", "socket": address})}
    assert is_gone(**tag)
    with socket.socket(socket.AF_UNIX) as code_server:
        code_server.bind(address)
        assert is_gone(**tag), "nobody listens"
        code_server.listen()
        assert not is_gone(**tag)
    assert is_gone(**tag), "the file of a killed server stays"
    assert not is_gone(), "another launcher, as on ECS, has no socket"
