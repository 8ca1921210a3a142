"""The four programs answer /metrics, /healthz and /readyz, also while another system is away.

The numbers and the rule as such belong to unit/streaming/test_metrics.py and
unit/inspection/test_health.py.
"""

import datetime as dt
import random
import signal
import socket
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from polygon_assets.inspection import probe
from polygon_assets.inspection.health import HEARTBEAT_LIMIT
from polygon_assets.inspection.streams import as_heartbeat
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import PROGRAMS, Heartbeat, ProgramName
from polygon_assets.settings import Settings
from polygon_assets.streaming.heartbeat import HUNG_SECONDS
from polygon_assets.streaming.metrics import families
from polygon_assets.streaming.program import EXIT_BAD_SETTINGS
from polygon_assets.topics import STATUS_TOPIC
from polygon_assets_tests.processes.harness import Program, Programs, eventually, read_all
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS, SYMBOLS, Live

__all__ = ["EXCHANGE_OPTIONS"]

SERVERS = ("exchange", "kafka", "s3", "clickhouse")
HANGS_LATER = """
import os, time
from polygon_assets.streaming.consumer import TopicConsumer
read = TopicConsumer.read
def hang(self, most, seconds):
    while os.path.exists(os.environ["TEST_HANG_FILE"]):
        time.sleep(0.1)
    return read(self, most, seconds)
TopicConsumer.read = hang
"""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Probes:
    """The HTTP answers of programs that were started with METRICS_PORT."""

    def __init__(self) -> None:
        self.port = four_free_ports()
        self._settings = Settings.model_validate({"metrics_port": self.port})

    def get(self, program: ProgramName, path: str) -> requests.Response:
        port = probe.metrics_port(self._settings, program)
        return requests.get(f"http://{HOST}:{port}{path}", timeout=10)

    def ready(self) -> list[ProgramName]:
        return [name for name in PROGRAMS if self.get(name, probe.READY).status_code == 200]

    def alive(self) -> list[ProgramName]:
        return [name for name in PROGRAMS if self.get(name, probe.ALIVE).status_code == 200]

    def metrics(self, program: ProgramName) -> Samples:
        text = self.get(program, probe.METRICS).text
        return {
            (item.name, frozenset(item.labels.items())): item.value
            for metric in text_string_to_metric_families(text)
            for item in metric.samples
        }


def four_free_ports() -> int:
    """The first of four free ports in a row, below those that Linux gives to clients."""
    while True:
        first = free_port(random.SystemRandom().randrange(10_000, 32_000), set())
        if all(free_port(first + next_one, set()) == first + next_one for next_one in (1, 2, 3)):
            return first


def sample(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """The key of one time series among `Samples`."""
    return f"polygon_assets_{name}", frozenset(labels.items())


def heartbeat_of(settings: Settings, program: ProgramName, shown: Samples) -> Heartbeat | None:
    """The heartbeat in Kafka that was sent at the moment that a scrape shows."""
    sent_at = shown[sample("heartbeat_timestamp_seconds", program=program)] * 1000
    for beat in filter(None, map(as_heartbeat, read_all(settings, STATUS_TOPIC))):
        if (beat.program, beat.sent_at) == (program, round(sent_at)):
            return beat
    return None


def derived(beat: Heartbeat, settings: Settings) -> Samples:
    """What a heartbeat shows, but for what depends on the moment of the scrape."""
    return {
        (item.name, frozenset(item.labels.items())): item.value
        for metric in families(beat, settings, None, dt.datetime.now(dt.UTC))
        for item in metric.samples
        if metric.name not in ("polygon_assets_alive", "polygon_assets_ready")
    }


def start_all(live: Live, programs: Programs, probes: Probes) -> dict[ProgramName, Program]:
    """All four, once each is ready."""
    variables = {"METRICS_PORT": str(probes.port), "ARCHIVE_MAX_SECONDS": "1"}
    started: dict[ProgramName, Program] = {"producer": live.start(*SYMBOLS, **variables)}
    for name in PROGRAMS[1:]:
        started[name] = programs.start(name, **variables)
    for name, program in started.items():
        program.wait_for_log(f"{name} serves http://{HOST}")
    eventually(lambda: probes.ready() == list(PROGRAMS), "all four are ready")
    return started


def stop_all(started: Mapping[ProgramName, Program]) -> None:
    for program in started.values():
        assert program.stop() == 0, program.log


@pytest.mark.long
def test_programs_show_their_heartbeats_and_what_they_wait_for(
    stack: Stack, live: Live, programs: Programs
) -> None:
    probes = Probes()
    started = start_all(live, programs, probes)
    assert probes.alive() == list(PROGRAMS)
    settings = live.settings.model_copy(update={"archive_max_seconds": 1.0})
    for name in PROGRAMS:
        forwarded = sample("events_total", program=name, outcome="forwarded")
        started[name].until(
            partial(_is_positive, probes, name, forwarded), "events have been delivered"
        )
        shown = probes.metrics(name)
        beat = eventually(
            partial(heartbeat_of, settings, name, shown), "Kafka has the heartbeat of the scrape"
        )
        assert beat is not None
        expected = derived(beat, settings)
        assert {key: shown.get(key) for key in expected} == expected
        assert sample("heartbeat_acknowledged_timestamp_seconds", program=name) in expected

    stack.kill("clickhouse")
    eventually(lambda: probes.ready() == ["producer", "filter", "archiver"], "the sink waits")
    assert probes.alive() == list(PROGRAMS)
    assert "backing_off: ClickHouse" in probes.get("sink", probe.READY).text
    stack.restart("clickhouse")
    eventually(lambda: probes.ready() == list(PROGRAMS), "the sink is ready again")
    unavailable = sample("write_duration_seconds_count", program="sink", outcome="unavailable")
    assert probes.metrics("sink")[unavailable] > 0
    stop_all(started)


def _is_positive(
    probes: Probes, program: ProgramName, key: tuple[str, frozenset[tuple[str, str]]]
) -> bool:
    return probes.metrics(program)[key] > 0


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_program_counts_as_hung_while_the_broker_is_away_for_long(
    stack: Stack, live: Live, programs: Programs
) -> None:
    probes = Probes()
    started = start_all(live, programs, probes)
    broker = stack.process("kafka")
    broker.send(signal.SIGSTOP)
    try:
        eventually(lambda: probes.ready() == [], "nobody is ready without Kafka")
        until = time.monotonic() + HUNG_SECONDS + HEARTBEAT_LIMIT.total_seconds() + 5
        while time.monotonic() < until:
            assert probes.alive() == list(PROGRAMS)
            assert probes.ready() == []
            time.sleep(1)
    finally:
        broker.send(signal.SIGCONT)
    eventually(lambda: probes.ready() == list(PROGRAMS), "all four are ready again")
    stop_all(started)


@pytest.mark.long
def test_a_program_whose_loop_hangs_is_not_alive(programs: Programs, tmp_path: Path) -> None:
    probes, hang = Probes(), tmp_path / "hang"
    sink = programs.start(
        "sink", prelude=HANGS_LATER, METRICS_PORT=str(probes.port), TEST_HANG_FILE=str(hang)
    )
    sink.wait_for_log("serves http://")
    sink.until(lambda: probes.get("sink", probe.READY).status_code == 200, "the sink is ready")
    hang.touch()
    began = time.monotonic()
    sink.until(lambda: probes.get("sink", probe.ALIVE).status_code == 503, "it counts as hung")
    assert time.monotonic() - began > HUNG_SECONDS, "a slow step is not a hung loop"
    assert "hangs: no heartbeat for" in probes.get("sink", probe.ALIVE).text
    hang.unlink()
    sink.until(lambda: probes.get("sink", probe.READY).status_code == 200, "it works again")
    assert sink.stop() == 0, sink.log


def test_a_taken_port_ends_the_program_at_its_start(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        variables = {
            "POLYGON_API_KEY": "key",
            "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:1",
            "METRICS_PORT": str(port),
        }
        program = Program("producer", variables, tmp_path)
        try:
            assert program.exit_code() == EXIT_BAD_SETTINGS
        finally:
            program.kill()
    assert f"METRICS_PORT={port}: the producer cannot listen on {HOST}:{port}" in program.log
