"""`polygon-assets connect` and the sensor `sink_connectors` on Kafka Connect's own runtime.

The sink is one of ours that writes lines; what a stub shows belongs to
unit/clients/test_kafka_connect.py and unit/provisioning/test_connector_plan.py.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import requests
from click.testing import CliRunner, Result

from polygon_assets.cli import main
from polygon_assets.clients.kafka import connect_producer
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.stream.connector_supervision import sink_connectors
from polygon_assets.inspection import streams
from polygon_assets.local.launcher import stack as launcher
from polygon_assets.local.launcher.servers import KAFKAS
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings
from polygon_assets.topics import FILTERED_TOPIC, SINK_GROUP
from polygon_assets_tests.processes import connect_runtime
from polygon_assets_tests.processes.harness import eventually

pytestmark = pytest.mark.apache_kafka

NAME = "polygon_stock_aggregates"
PASSWORD = "planted-connect-password-5f1e"


@dataclass(frozen=True)
class Worker:
    """A running worker, and the files of its sink."""

    url: str
    folder: Path

    @property
    def lines(self) -> list[str]:
        path = self.folder / "lines"
        return path.read_text().split() if path.exists() else []

    @property
    def fault(self) -> Path:
        """While it exists, the sink's task fails."""
        return self.folder / "fault"

    def file(self, **changes: str) -> str:
        """The file of the connector, as those in deploy/connect."""
        config = {
            "connector.class": "LineSink",
            "tasks.max": "1",
            "topics": FILTERED_TOPIC,
            "lines": str(self.folder / "lines"),
            "fault": str(self.fault),
            "password": "${env:CLICKHOUSE_PASSWORD}",
            "consumer.override.group.id": SINK_GROUP,
            "consumer.override.auto.offset.reset": "earliest",
        }
        path = self.folder / "connector.json"
        path.write_text(json.dumps({"name": NAME, "config": config | changes}))
        return str(path)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A broker with our topics."""
    broker = KAFKAS[launcher.DEFAULT_KAFKA]
    running = Stack(tmp_path_factory.mktemp("kafka"), [broker], fixed_ports=False)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def worker(
    stack: Stack, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Worker]:
    """A worker without connectors; this process has the variables that lead to it."""
    login = {"CLICKHOUSE_PASSWORD": PASSWORD}
    with connect_runtime.connect_runtime(settings, tmp_path, login) as url:
        connect = {
            "SINK_RUNNER": "connect",
            "KAFKA_CONNECT_URL": url,
            "KAFKA_CONNECT_CONNECTORS": NAME,
            "KAFKA_CONNECT_USER": connect_runtime.USER,
            "KAFKA_CONNECT_PASSWORD": connect_runtime.PASSWORD,
        }
        for name, value in (stack.environment() | login | connect).items():
            monkeypatch.setenv(name, value)
        yield Worker(url, tmp_path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["connect", *arguments])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert PASSWORD not in result.output
    assert connect_runtime.PASSWORD not in result.output
    return result


def send(settings: Settings, *values: str) -> None:
    producer = connect_producer(settings)
    for value in values:
        producer.produce(FILTERED_TOPIC, value)
    assert producer.flush(30) == 0


def lag(settings: Settings) -> int:
    return streams.positions(settings, SINK_GROUP, FILTERED_TOPIC).lag


def tick() -> dg.SensorResult:
    """One tick of the sensor, as if it were the first."""
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, resources={"environment": Environment()}) as context,
    ):
        answer = sink_connectors(context)
    assert isinstance(answer, dg.SensorResult)
    return answer


def test_a_connector_is_applied_watched_restarted_and_changed(
    worker: Worker, settings: Settings
) -> None:
    assert run("status").stdout == f"connector {NAME}: MISSING\n"
    assert run("plan", worker.file()).exit_code == 2
    assert run("apply", worker.file(), "--yes").stdout.endswith(f"created connector {NAME}\n")
    again = run("plan", worker.file())
    assert (again.exit_code, again.stdout) == (0, "no difference\n")
    # Connect keeps the placeholder; only the task gets the password.
    login = (connect_runtime.USER, connect_runtime.PASSWORD)
    known = requests.get(f"{worker.url}/connectors/{NAME}/config", timeout=10, auth=login).json()
    assert known["password"] == "${env:CLICKHOUSE_PASSWORD}"

    send(settings, "one", "two")
    eventually(lambda: sorted(worker.lines) == ["one", "two"], "lines")
    eventually(lambda: run("status").exit_code == 0, "running")
    eventually(lambda: lag(settings) == 0, "offsets committed in the group of our sink")

    worker.fault.touch()
    send(settings, "three")
    eventually(lambda: "task 0: FAILED" in run("status").stdout, "failed")
    broken = run("status")
    assert broken.exit_code == 1
    cause = "org.apache.kafka.connect.errors.ConnectException: refused with password ***"
    assert f"Caused by: {cause}" in broken.stdout
    worker.fault.unlink()
    [observed] = tick().asset_events
    assert "task 0 is FAILED" in str(observed.metadata["state"].value)
    eventually(lambda: "three" in worker.lines, "the sensor restarted the task")
    eventually(lambda: run("status").exit_code == 0, "running")

    changed = run("apply", worker.file(**{"consumer.override.max.poll.records": "5"}), "--yes")
    assert "+ consumer.override.max.poll.records=5" in changed.stdout
    assert changed.stdout.endswith(f"updated connector {NAME}\n")
    send(settings, "four")
    eventually(lambda: "four" in worker.lines, "lines after the change")


def test_nobody_reads_or_changes_connectors_without_the_login(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method, path in (("GET", ""), ("GET", "connectors"), ("POST", "connectors")):
        answer = requests.request(method, f"{worker.url}/{path}", timeout=10, json={})
        assert answer.status_code == 401, path
    monkeypatch.setenv("KAFKA_CONNECT_PASSWORD", "another-password")
    refused = run("apply", worker.file(), "--yes")
    assert refused.exit_code == 1
    assert "check KAFKA_CONNECT_USER and KAFKA_CONNECT_PASSWORD" in refused.stderr


def test_what_connect_itself_refuses_is_shown(worker: Worker) -> None:
    refused = run("apply", worker.file(topics=""), "--yes")
    assert refused.exit_code == 1
    assert "HTTP 400: Connector configuration is invalid" in refused.stderr
    unknown = run("apply", worker.file(**{"connector.class": "Nowhere"}), "--yes")
    assert "Failed to find any class that implements Connector" in unknown.stderr
