"""The server beside a program: what it answers, and that nothing about it harms the program.

The numbers belong to test_metrics, the programs themselves to processes/test_metrics.py.
"""

import copy
import socket
import time
from collections.abc import Iterator
from typing import cast

import pytest
import requests
from click.testing import CliRunner

from polygon_assets.cli import main
from polygon_assets.inspection import probe
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.messages import PROGRAMS, Heartbeat
from polygon_assets.settings import Settings
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.metrics_server import MetricsAddressError, serving


class FakePublisher:
    """The last heartbeat of a filter that streams."""

    def __init__(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        self.beat = Heartbeat(
            "filter", "host:1:2", "streaming", now_ms - 60_000, now_ms, acknowledged_at=now_ms
        )
        self.published = copy.copy(self.beat)


@pytest.fixture
def settings() -> Settings:
    """The filter's port, the second of the four, is free."""
    return Settings.model_validate({"metrics_port": free_port(0, set()) - 1})


@pytest.fixture
def publisher(settings: Settings) -> Iterator[FakePublisher]:
    fake = FakePublisher()
    with serving(settings, cast(HeartbeatPublisher, fake)):
        yield fake


def get(settings: Settings, path: str) -> requests.Response:
    port = probe.metrics_port(settings, "filter")
    return requests.get(f"http://{HOST}:{port}{path}", timeout=10)


def test_a_working_program_is_alive_and_ready_and_shows_its_numbers(
    settings: Settings, publisher: FakePublisher
) -> None:
    publisher.published.counters = {"read": 5, "forwarded": 5}
    for path in ("/healthz", "/readyz"):
        answer = get(settings, path)
        assert (answer.status_code, answer.text) == (200, "filter: streaming\n")
    answer = get(settings, "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 'polygon_assets_events_read_total{program="filter"} 5.0' in answer.text.splitlines()


def test_a_waiting_program_is_alive_but_not_ready(
    settings: Settings, publisher: FakePublisher
) -> None:
    publisher.published.state, publisher.published.detail = "waiting", "no partition"
    assert get(settings, "/healthz").status_code == 200
    answer = get(settings, "/readyz")
    assert (answer.status_code, answer.text) == (503, "filter: waiting: no partition\n")


def test_a_hung_program_is_not_alive(settings: Settings, publisher: FakePublisher) -> None:
    publisher.published.sent_at -= 30_000
    answer = get(settings, "/healthz")
    assert answer.status_code == 503
    assert answer.text.startswith("filter: hangs: no heartbeat for 30 s")


def test_only_the_published_heartbeat_counts(settings: Settings, publisher: FakePublisher) -> None:
    """What the loop is changing now, Kafka does not have yet."""
    publisher.beat.state = "backing_off"
    assert get(settings, "/readyz").status_code == 200


@pytest.mark.usefixtures("publisher")
def test_another_path_is_answered_with_the_paths(settings: Settings) -> None:
    answer = get(settings, "/metric")
    assert (answer.status_code, answer.text) == (404, "paths: /healthz, /readyz, /metrics\n")


def test_an_error_in_an_answer_is_an_answer_and_the_next_one_is_right(
    settings: Settings, publisher: FakePublisher, capfd: pytest.CaptureFixture[str]
) -> None:
    good, publisher.published = publisher.published, cast(Heartbeat, None)
    assert get(settings, "/metrics").status_code == 500
    assert get(settings, "/healthz").status_code == 500
    publisher.published = good
    assert get(settings, "/healthz").status_code == 200
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.usefixtures("publisher")
def test_a_client_that_says_nothing_or_garbage_delays_nobody(settings: Settings) -> None:
    port = probe.metrics_port(settings, "filter")
    with socket.create_connection((HOST, port)), socket.create_connection((HOST, port)) as garbage:
        garbage.sendall(b"\x00\xff\r\n\r\n")
        began = time.monotonic()
        assert get(settings, "/healthz").status_code == 200
        assert time.monotonic() - began < 4, "below the time after which a client is dropped"


def test_a_taken_port_is_named_with_the_cure(settings: Settings) -> None:
    port = probe.metrics_port(settings, "filter")
    with socket.create_server((HOST, port)):
        program = serving(settings, cast(HeartbeatPublisher, FakePublisher()))
        with pytest.raises(MetricsAddressError) as caught, program:
            pytest.fail("it must not start")
    assert f"METRICS_PORT={port - 1}: the filter cannot listen on {HOST}:{port}" in str(
        caught.value
    )
    assert "METRICS_PORT=0 to serve nothing" in str(caught.value)


def test_an_address_that_is_not_this_machines_is_refused(settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"metrics_host": "192.0.2.1"})
    program = serving(elsewhere, cast(HeartbeatPublisher, FakePublisher()))
    with pytest.raises(MetricsAddressError, match=r"192\.0\.2\.1"), program:
        pytest.fail("it must not start")


def test_nothing_listens_unless_a_port_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it must not listen"))
    with serving(Settings(), cast(HeartbeatPublisher, FakePublisher())):
        pass


def test_four_programs_have_four_ports() -> None:
    settings = Settings.model_validate({"metrics_port": 9770})
    assert [probe.metrics_port(settings, name) for name in PROGRAMS] == [9770, 9771, 9772, 9773]
    assert {probe.metrics_port(Settings(), name) for name in PROGRAMS} == {0}


@pytest.mark.parametrize("host", [HOST, "0.0.0.0"])
def test_the_command_says_what_the_program_answers(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, host: str
) -> None:
    monkeypatch.setenv("METRICS_PORT", str(settings.metrics_port))
    monkeypatch.setenv("METRICS_HOST", host)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    command, fake = CliRunner(), FakePublisher()
    with serving(
        settings.model_copy(update={"metrics_host": host}), cast(HeartbeatPublisher, fake)
    ):
        answer = command.invoke(main, ["health", "filter"])
        assert (answer.exit_code, answer.stdout) == (0, "filter: streaming\n")
        fake.published.state = "waiting"
        assert command.invoke(main, ["health", "filter"]).exit_code == 0
        answer = command.invoke(main, ["health", "filter", "--ready"])
        assert (answer.exit_code, answer.stdout) == (1, "filter: waiting\n")
    answer = command.invoke(main, ["health", "filter"])
    assert answer.exit_code == 1
    assert f"no answer from http://{HOST}:{settings.metrics_port + 1}/healthz" in answer.stderr


def test_the_command_needs_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METRICS_PORT", raising=False)
    answer = CliRunner().invoke(main, ["health", "sink"])
    assert answer.exit_code == 1
    assert answer.stderr.startswith("METRICS_PORT=0: the sink serves no /healthz; set the port")
