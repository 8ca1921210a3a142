"""What `status` makes of the evidence: healthy or not, alive or silent, and a table that holds it all."""

import datetime as dt
import io
from typing import Any

import pytest
from rich.console import Console

from polygon_assets.evidence import WarehouseUnreachableError, streams, warehouse
from polygon_assets.messages import Heartbeat, ProgramState
from polygon_assets.settings import Settings
from polygon_assets.status import PROGRAMS, gather, is_healthy, render, stream_facts

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def beat(state: ProgramState = "streaming", age_seconds: float = 1, **changes: Any) -> Heartbeat:
    sent = NOW_MS - int(age_seconds * 1000)
    return Heartbeat("producer", "host:1:2", state, started_at=0, sent_at=sent, rate=51.0, newest_event=NOW_MS - 3000, **changes)


def picture(*, service_ok: bool = True, state: str = "streaming") -> dict[str, Any]:
    """A whole picture."""
    stream = {"state": state, "rate": 51.0, "lag": 0, "newest_event": NOW.isoformat(), "restarts": 0, "detail": ""}
    return {
        "services": {"kafka": {"ok": service_ok, "endpoint": "127.0.0.1:9092", "detail": "5 topics"}},
        "streams": dict.fromkeys(PROGRAMS, stream),
        "tables": {"market.stock_aggregates": {"rows": 1234567, "newest": NOW.isoformat()}},
        "gaps": {"open": 2, "filling": 0},
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
def test_healthy_means_every_service_answers_and_an_open_market_streams(facts: dict[str, Any], market_is_open: bool, healthy: bool) -> None:
    assert is_healthy(facts, market_is_open) is healthy


def test_a_program_without_a_recent_heartbeat_is_silent_whatever_it_said_last() -> None:
    facts = stream_facts(beat(age_seconds=60), NOW)
    assert (facts["state"], facts["rate"], facts["detail"]) == ("silent", 0.0, "no heartbeat for 60 s")


def test_a_program_that_stopped_is_stopped_however_long_ago() -> None:
    assert stream_facts(beat("stopped", age_seconds=3600), NOW)["state"] == "stopped"


def test_a_living_producer_shows_its_channels_and_what_it_had_to_repeat() -> None:
    facts = stream_facts(beat(desired=52, confirmed=51, counters={"reconnects": 3}), NOW)
    assert (facts["state"], facts["detail"], facts["restarts"]) == ("streaming", "51/52 channels confirmed", 3)


def test_a_program_that_never_ran_says_so() -> None:
    assert stream_facts(None, NOW)["state"] == "never seen"


def test_the_table_holds_numbers_that_people_can_read() -> None:
    text = io.StringIO()
    Console(file=text, width=160).print(render({"healthy": True, **picture()}))
    for part in ("127.0.0.1:9092", "51/s", "1,234,567", "2026-11-20 15:00:00 UTC", "gaps open: 2", "healthy"):
        assert part in text.getvalue()


def test_with_nothing_set_every_service_of_the_stream_is_named_and_nothing_hangs() -> None:
    facts = gather(Settings(polygon_websocket_url="ws://127.0.0.1:1", aws_endpoint_url_s3="http://127.0.0.1:1"), NOW)
    assert not facts["healthy"]
    names = ("exchange", "kafka", "clickhouse", "s3")
    assert {name: service["ok"] for name, service in facts["services"].items()} == dict.fromkeys(names, False)


def test_the_batch_half_is_looked_at_once_it_is_set() -> None:
    nowhere = "http://127.0.0.1:1"
    settings = Settings(
        polygon_websocket_url="ws://127.0.0.1:1",
        aws_endpoint_url_s3=nowhere,
        airbyte_api_url=nowhere,
        airbyte_workspace_id="workspace",
        snowflake_host="127.0.0.1",
    )
    services = gather(settings, NOW)["services"]
    assert services["airbyte"]["detail"].startswith(f"POST {nowhere}/applications/token: no answer")
    assert "SNOWFLAKE_ACCOUNT" in services["snowflake"]["detail"]


def test_a_service_that_fails_between_two_questions_is_told_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> Any:
        raise WarehouseUnreachableError("Snowflake refused a question: no such table\nand more")

    monkeypatch.setattr(warehouse, "fact_days", lambda _settings: {})
    monkeypatch.setattr(warehouse, "tables", gone)
    monkeypatch.setattr(streams, "message_count", lambda *_: 0)
    monkeypatch.setattr(streams, "heartbeats", gone)
    monkeypatch.setattr(streams, "open_gaps", lambda _settings: [])
    settings = Settings(
        kafka_bootstrap_servers="127.0.0.1:1",
        polygon_websocket_url="ws://127.0.0.1:1",
        aws_endpoint_url_s3="http://127.0.0.1:1",
        snowflake_account="account",
    )
    facts = gather(settings, NOW)
    assert not facts["healthy"]
    for name in ("kafka", "snowflake"):
        service = facts["services"][name]
        assert (service["ok"], service["detail"]) == (False, "Snowflake refused a question: no such table")
    assert (facts["streams"], facts["tables"]) == ({}, {})
