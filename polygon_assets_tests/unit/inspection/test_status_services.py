"""What `status` asks, and systems that are not set, away, mute, failing, or Kafka Connect's."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest
from rich.console import Console

from polygon_assets.inspection import WarehouseUnreachableError, streams, tables, warehouse
from polygon_assets.inspection.kafka_reader import Positions
from polygon_assets.inspection.status import Status
from polygon_assets.inspection.status_table import render
from polygon_assets.serving.alert_history import FiringAlert
from polygon_assets.settings import Settings
from polygon_assets_tests.connect_stub import RUNNING, ConnectStub, connect_stub, failed
from polygon_assets_tests.unit.inspection.status_samples import NOW, beat


def test_alerts_that_cannot_be_read_are_not_reported_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    firing = FiringAlert("lag", "sink", NOW, "too late")
    settings = Settings(polygon_websocket_url="ws://127.0.0.1:1", clickhouse_host="127.0.0.1")
    monkeypatch.setattr(tables, "tables", lambda _settings: {})
    monkeypatch.setattr(tables, "firing_alerts", lambda _settings: [firing])
    [shown] = Status(settings).facts(NOW)["alerts"]
    assert shown == {
        "alert": "lag",
        "subject": "sink",
        "since": NOW.isoformat(),
        "detail": "too late",
    }
    monkeypatch.undo()
    assert Status(settings.model_copy(update={"clickhouse_port": 1})).facts(NOW)["alerts"] is None


def through_connect(stub: ConnectStub, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The report of a system whose sink is Kafka Connect's; Kafka has the sink's old heartbeat."""
    old = beat("stopped", age_seconds=3600)
    monkeypatch.setattr(streams, "heartbeats", lambda *_: {"sink": old})
    monkeypatch.setattr(streams, "message_count", lambda *_: 0)
    monkeypatch.setattr(streams, "reported_gaps", lambda *_: [])
    monkeypatch.setattr(streams, "positions", lambda *_: Positions({0: 10}, {0: 3}))
    settings = stub.settings.model_copy(
        update={
            "sink_runner": "connect",
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "polygon_websocket_url": "ws://127.0.0.1:1",
            "aws_endpoint_url_s3": "http://127.0.0.1:1",
        }
    )
    return Status(settings).facts(NOW)


def test_the_row_of_the_sink_is_kafka_connects_where_it_replaces_our_sink(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with connect_stub() as stub:
        stub.states = {"polygon_stock_aggregates": RUNNING, "polygon_dead_letters": RUNNING}
        well = through_connect(stub, monkeypatch)
        stub.states["polygon_stock_aggregates"] = failed()
        broken = through_connect(stub, monkeypatch)
        stub.refusal = (500, "")
        away = through_connect(stub, monkeypatch)
    row = well["streams"]["sink"]
    assert (row["state"], row["rate"], row["lag"], row["problems"]) == ("RUNNING", None, 7, [])
    assert "polygon_dead_letters RUNNING, 1/1 tasks" in row["detail"]
    assert well["services"]["connect"]["ok"]
    assert [problem for problem in well["problems"] if problem.startswith("sink")] == []
    text = io.StringIO()
    Console(file=text, width=300).print(render(well))
    assert "● sink" in text.getvalue()
    assert broken["streams"]["sink"]["state"] == "FAILED"
    assert not broken["services"]["connect"]["ok"]
    assert any(
        problem.startswith("sink: connector polygon_stock_aggregates task 0 is FAILED (org.apache")
        for problem in broken["problems"]
    )
    assert away["streams"]["sink"]["state"] == "unknown"
    assert any(problem.startswith("sink: unknown") for problem in away["problems"])


def test_with_nothing_set_every_service_of_the_stream_is_named_and_nothing_hangs() -> None:
    facts = Status(
        Settings(polygon_websocket_url="ws://127.0.0.1:1", aws_endpoint_url_s3="http://127.0.0.1:1")
    ).facts(NOW)
    assert not facts["healthy"]
    names = ("exchange", "kafka", "clickhouse", "s3")
    assert {name: service["ok"] for name, service in facts["services"].items()} == dict.fromkeys(
        names, False
    )


def test_the_batch_half_is_checked_once_its_settings_are_set() -> None:
    nowhere = "http://127.0.0.1:1"
    settings = Settings(
        polygon_websocket_url="ws://127.0.0.1:1",
        aws_endpoint_url_s3=nowhere,
        airbyte_api_url=nowhere,
        airbyte_workspace_id="workspace",
        snowflake_host="127.0.0.1",
    )
    services = Status(settings).facts(NOW)["services"]
    assert services["airbyte"]["detail"].startswith(f"POST {nowhere}/applications/token: no answer")
    assert "SNOWFLAKE_ACCOUNT" in services["snowflake"]["detail"]


def test_a_service_that_fails_between_two_queries_is_reported_as_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object) -> Any:
        raise WarehouseUnreachableError("Snowflake refused a question: no such table\nand more")

    monkeypatch.setattr(warehouse, "fact_days", lambda _settings: {})
    monkeypatch.setattr(warehouse, "tables", gone)
    monkeypatch.setattr(streams, "message_count", lambda *_: 0)
    monkeypatch.setattr(streams, "heartbeats", gone)
    monkeypatch.setattr(streams, "reported_gaps", lambda *_: [])
    settings = Settings(
        kafka_bootstrap_servers="127.0.0.1:1",
        polygon_websocket_url="ws://127.0.0.1:1",
        aws_endpoint_url_s3="http://127.0.0.1:1",
        snowflake_account="account",
    )
    facts = Status(settings).facts(NOW)
    assert not facts["healthy"]
    for name in ("kafka", "snowflake"):
        service = facts["services"][name]
        assert (service["ok"], service["detail"]) == (
            False,
            "Snowflake refused a question: no such table",
        )
    assert (facts["streams"], facts["tables"]) == ({}, {})


def test_watching_repeats_the_report_until_it_is_interrupted() -> None:
    endpoints = {
        "POLYGON_WEBSOCKET_URL": "ws://127.0.0.1:1",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CLICKHOUSE_HOST": "127.0.0.1",
        "CLICKHOUSE_PORT": "1",
    }
    command = [sys.executable, "-m", "polygon_assets.cli", "status", "--watch", "--json"]
    with subprocess.Popen(
        command, env=os.environ | endpoints, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        reports = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert [report["healthy"] for report in reports] == [False, False]
    assert "127.0.0.1:1" in reports[1]["services"]["kafka"]["endpoint"]


def test_a_hanging_service_is_named_and_delays_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    calls: list[int] = []

    def hang(*_: object) -> Any:
        calls.append(1)
        released.wait(60)

    monkeypatch.setattr(tables, "tables", hang)
    monkeypatch.setattr(warehouse, "tables", hang)
    monkeypatch.setattr(warehouse, "fact_days", lambda _settings: {})
    settings = Settings(
        polygon_websocket_url="ws://127.0.0.1:1",
        aws_endpoint_url_s3="http://127.0.0.1:1",
        clickhouse_host="c",
        snowflake_account="account",
    )
    status = Status(settings)
    try:
        for _ in range(2):
            services = status.facts(NOW, 0.2)["services"]
            for name in ("clickhouse", "snowflake"):
                assert services[name]["detail"] == "no answer within 0 s"
        assert len(calls) == 2, "a hanging service is not queried again"
    finally:
        released.set()


def test_services_that_accept_and_never_answer_are_named_by_the_command_in_time() -> None:
    """The clients themselves would wait for a minute or more."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        address = f"127.0.0.1:{port}"
        endpoints = {
            "POLYGON_WEBSOCKET_URL": f"ws://{address}",
            "KAFKA_BOOTSTRAP_SERVERS": address,
            "CLICKHOUSE_HOST": "127.0.0.1",
            "CLICKHOUSE_PORT": str(port),
            "SUBSCRIPTIONS_BUCKET": "bucket",
            "AWS_ENDPOINT_URL_S3": f"http://{address}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AIRBYTE_API_URL": f"http://{address}",
            "AIRBYTE_WORKSPACE_ID": "workspace",
            "SNOWFLAKE_ACCOUNT": "account",
            "SNOWFLAKE_USER": "user",
            "SNOWFLAKE_PASSWORD": "password",
            "SNOWFLAKE_HOST": "127.0.0.1",
            "SNOWFLAKE_PORT": str(port),
            "SNOWFLAKE_PROTOCOL": "http",
        }
        answer = subprocess.run(
            [sys.executable, "-m", "polygon_assets.cli", "status", "--json"],
            env=os.environ | endpoints,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
    assert answer.returncode == 1, answer.stderr
    details = {
        name: service["detail"] for name, service in json.loads(answer.stdout)["services"].items()
    }
    assert details.pop("exchange").startswith("accepts connections")
    assert details == dict.fromkeys(
        ("kafka", "clickhouse", "s3", "airbyte", "snowflake"), "no answer within 5 s"
    )


def test_an_unforeseen_error_is_shown_and_hides_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> Any:
        raise KeyError("surprise")

    monkeypatch.setattr(tables, "tables", broken)
    facts = Status(Settings(polygon_websocket_url="ws://127.0.0.1:1", clickhouse_host="c")).facts(
        NOW
    )
    assert facts["services"]["clickhouse"]["detail"] == "'surprise'"
