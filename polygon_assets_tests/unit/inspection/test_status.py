"""`status`: healthy or not, alive or silent, and the table that shows all of it."""

import datetime as dt
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
from polygon_assets.inspection.status import Status, problems, stream_facts
from polygon_assets.inspection.status_table import render
from polygon_assets.messages import PROGRAMS, Heartbeat, ProgramState
from polygon_assets.serving.alert_history import FiringAlert
from polygon_assets.settings import Settings
from polygon_assets_tests.connect_stub import RUNNING, ConnectStub, connect_stub, failed

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
DEFAULTS = Settings()
NOW_MS = int(NOW.timestamp() * 1000)


def beat(state: ProgramState = "streaming", age_seconds: float = 1, **changes: Any) -> Heartbeat:
    sent = NOW_MS - int(age_seconds * 1000)
    return Heartbeat(
        "producer",
        "host:1:2",
        state,
        started_at=0,
        sent_at=sent,
        rate=51.0,
        newest_event=NOW_MS - 3000,
        **changes,
    )


def picture(*, service_ok: bool = True, state: str = "streaming") -> dict[str, Any]:
    """The facts of a whole system, without problems unless changed."""
    stream = stream_facts(beat(), NOW, DEFAULTS) | {"state": state}
    return {
        "problems": [],
        "services": {
            "kafka": {"ok": service_ok, "endpoint": "127.0.0.1:9092", "detail": "5 topics"}
        },
        "streams": dict.fromkeys(PROGRAMS, stream),
        "tables": {"market.stock_aggregates": {"rows": 1234567, "newest": NOW.isoformat()}},
        "gaps": {"open": 2, "filling": 0, "verified": 0},
    }


@pytest.mark.parametrize(
    ("facts", "market_is_open", "healthy"),
    [
        (picture(), True, True),
        (picture(state="backing_off"), True, False),
        (picture(state="stopped"), False, True),
        (picture(service_ok=False), False, False),
        (picture() | {"streams": {}}, True, False),
    ],
)
def test_healthy_means_every_service_answers_and_an_open_market_streams(
    facts: dict[str, Any], market_is_open: bool, healthy: bool
) -> None:
    assert (not problems(facts, market_is_open)) is healthy


def test_a_program_without_a_recent_heartbeat_is_silent_whatever_its_last_state() -> None:
    facts = stream_facts(beat(age_seconds=60), NOW, DEFAULTS)
    assert (facts["state"], facts["rate"], facts["detail"]) == (
        "silent",
        0.0,
        "no heartbeat for 60 s",
    )


def test_a_program_that_stopped_is_stopped_however_long_ago() -> None:
    assert stream_facts(beat("stopped", age_seconds=3600), NOW, DEFAULTS)["state"] == "stopped"


def test_a_running_producer_shows_its_channels_restarts_reconnects_and_retries() -> None:
    facts = stream_facts(
        beat(
            desired=52,
            confirmed=51,
            counters={"reconnects": 3, "retries": 2, "refused": 1},
            restarts=4,
        ),
        NOW,
        DEFAULTS,
    )
    assert (facts["state"], facts["detail"]) == ("streaming", "51/52 channels confirmed")
    assert (facts["restarts"], facts["reconnects"], facts["retries"], facts["refused"]) == (
        4,
        3,
        2,
        1,
    )


SKEWED: dict[str, Any] = {"arrival_delay_ms": -8_000}
REFUSING: dict[str, Any] = {
    "recent_read": 93,
    "recent_refused": 93,
    "last_refusal": "end_timestamp is later than its arrival",
}
LOSING: dict[str, Any] = {"counters": {"read": 10, "forwarded": 9}}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"arrival_delay_ms": 2_000}, ""),
        ({"recent_read": 100, "recent_refused": 1}, ""),
        (SKEWED, "bars arrive 8.0 s before their second ends"),
        (
            REFUSING,
            "refused 93 of 93 events in the last five minutes, "
            "the newest because: end_timestamp is later than its arrival",
        ),
        (LOSING, "cannot account for 1 of 10 events"),
    ],
)
def test_a_program_that_streams_but_refuses_or_loses_is_not_healthy_and_the_cause_is_named(
    changes: dict[str, Any], problem: str
) -> None:
    facts = picture() | {
        "streams": dict.fromkeys(PROGRAMS, stream_facts(beat(**changes), NOW, DEFAULTS))
    }
    shown = problems(facts, market_is_open=True)
    assert bool(shown) is bool(problem)
    assert all(f"{name}: {problem}" in "\n".join(shown) for name in PROGRAMS if problem)
    text = io.StringIO()
    Console(file=text, width=250).print(render(facts | {"problems": shown, "healthy": not shown}))
    assert problem in text.getvalue()


def test_refusals_of_a_stopped_program_are_no_problem() -> None:
    assert stream_facts(beat("stopped", **REFUSING), NOW, DEFAULTS)["problems"] == []


def test_an_unreadable_gap_ledger_is_a_problem() -> None:
    assert problems(picture() | {"gaps": {"open": None, "filling": 0}}, market_is_open=False)


def test_a_program_that_never_ran_is_never_seen() -> None:
    assert stream_facts(None, NOW, DEFAULTS)["state"] == "never seen"


def test_the_table_holds_numbers_that_people_can_read() -> None:
    text = io.StringIO()
    Console(file=text, width=200).print(render({"healthy": True, **picture()}))
    for part in (
        "127.0.0.1:9092",
        "51/s",
        "1,234,567",
        "2026-11-20 15:00:00 UTC",
        "gaps open: 2",
        "healthy",
    ):
        assert part in text.getvalue()


def test_the_table_fits_80_columns_and_cuts_no_path() -> None:
    stream = stream_facts(beat("backing_off"), NOW, DEFAULTS) | {
        **{"rate": 12_345.0, "lag": 1_234_567, "refused": 123_456, "restarts": 4},
        **{"detail": "10,000/10,000 channels confirmed", "arrival_delay_seconds": 2.04},
    }
    path = "https://polygon-assets.s3.eu-central-1.example.com/subs"
    detail = "polygon_stream_aggregates 1, custom_filtered_stock_data_topic 2"
    facts = picture() | {
        "healthy": True,
        "services": {"clickhouse": {"ok": True, "endpoint": path, "detail": detail}},
        "streams": dict.fromkeys(PROGRAMS, stream),
    }
    text = io.StringIO()
    Console(file=text, width=80).print(render(facts))
    lines = text.getvalue().splitlines()
    assert path in lines[1]
    assert "…" not in text.getvalue()
    program = next(line for line in lines if "● producer" in line)
    assert program.split() == [
        *("●", "producer", "backing_off", "12,345/s", "1,234,567"),
        *("11-20", "14:59:57", "2.0", "s", "123,456"),
    ]
    assert "  producer: 10,000/10,000 channels confirmed, 4 restarts" in lines


def test_a_firing_alert_is_shown_with_its_subject_and_beginning() -> None:
    alert = {"alert": "lag", "subject": "sink", "since": NOW.isoformat(), "detail": "too late"}
    text = io.StringIO()
    Console(file=text, width=200).print(render({"healthy": True, **picture(), "alerts": [alert]}))
    assert "alert lag (sink) since 2026-11-20 15:00:00 UTC: too late" in text.getvalue()


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
