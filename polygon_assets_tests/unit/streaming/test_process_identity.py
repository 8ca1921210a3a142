"""A program is named as whoever runs it names it: by process, or by ECS task."""

import http.server
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from polygon_assets.messages import Heartbeat, process_of, process_on_ecs
from polygon_assets.settings import Settings
from polygon_assets.streaming import process_identity, program
from polygon_assets.streaming.process_identity import ProcessIdentityError, this_process
from polygon_assets_tests.http_server import running

ARN = "arn:aws:ecs:us-east-1:123456789012:task/streams/0a1b2c3d4e5f"


class Agent(http.server.ThreadingHTTPServer):
    """The metadata endpoint of a container, which fails a few times first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failures = 0
        self.answer: object = {"Cluster": "streams", "TaskARN": ARN}
        self.paths: list[str] = []

    @property
    def settings(self) -> Settings:
        address = f"http://127.0.0.1:{self.server_port}/v4/abc"
        return Settings(ecs_container_metadata_uri_v4=address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Agent

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.server.failures -= 1
        self.send_response(500 if self.server.failures >= 0 else 200)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.answer).encode())

    def log_message(self, *_: Any) -> None:
        """No line for each request."""


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    monkeypatch.setattr(process_identity, "PAUSE_SECONDS", 0.0)
    # A container behind a company's proxy asks the agent of its host all the same.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with running(Agent()) as one:
        yield one


def test_on_a_machine_it_is_host_and_pid() -> None:
    assert this_process(Settings()) == f"{socket.gethostname()}:{os.getpid()}"


def test_on_ecs_it_is_the_task_although_the_agent_fails_at_first(agent: Agent) -> None:
    agent.failures = process_identity.ATTEMPTS - 1
    name = this_process(agent.settings)
    assert name == process_on_ecs("0a1b2c3d4e5f") == "ecs-task:0a1b2c3d4e5f"
    assert set(agent.paths) == {"/v4/abc/task"}
    assert process_of(Heartbeat("sink", f"{name}:17", "streaming", 0, 0)) == name


@pytest.mark.parametrize(
    ("failures", "answer"), [(99, {"TaskARN": ARN}), (0, []), (0, {}), (0, {"TaskARN": 7})]
)
def test_an_agent_that_names_no_task_ends_the_program_for_another_try(
    failures: int, answer: object, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.failures, agent.answer = failures, answer
    with pytest.raises(ProcessIdentityError, match=r"ECS_CONTAINER_METADATA_URI_V4='http.*unset"):
        this_process(agent.settings)
    monkeypatch.setattr(program, "_log_in", lambda _settings: None)
    monkeypatch.setattr(program, "configure_logging", lambda _settings: None)
    monkeypatch.setattr("polygon_assets.stop_signals.signal.signal", lambda *_: None)
    settings = agent.settings.model_copy(
        update={"kafka_bootstrap_servers": "127.0.0.1:1", "clickhouse_host": "127.0.0.1"}
    )
    assert program.run_program("sink", settings, lambda *_: None) == program.EXIT_CRASHED
