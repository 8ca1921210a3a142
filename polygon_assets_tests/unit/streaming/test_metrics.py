"""What Prometheus sees of a heartbeat: every number of it, under its name, and nothing unknown.

The server belongs to test_metrics_server, the use of the names in rules to unit/test_prometheus.py.
"""

import ast
import datetime as dt
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

import polygon_assets.streaming
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.messages import OUTCOMES, Heartbeat, ProgramName
from polygon_assets.settings import Settings
from polygon_assets.streaming.metrics import COUNTERS, families, observe_write, registry_of
from polygon_assets_tests.unit.streaming.samples import START_MS

NOW = dt.datetime.fromtimestamp(START_MS / 1000 + 5, dt.UTC)
Samples = dict[str, float]
"""By name with the labels beside `program`."""


def beat(program: ProgramName = "producer", **changes: object) -> Heartbeat:
    """A heartbeat in which every number differs from every other."""
    plain = Heartbeat(
        program,
        "host:7:1",
        "streaming",
        started_at=START_MS - 60_000,
        sent_at=START_MS + 4_000,
        epoch=START_MS - 50_000,
        newest_event=START_MS,
        newest_received_at=START_MS + 1_500,
        complete_until=START_MS + 3_900,
        rate=12.5,
        lag=3,
        counters={"read": 90, "forwarded": 70, "refused": 11, "waiting": 8, "gaps": 2},
        restarts=4,
        recent_read=50,
        recent_refused=6,
        arrival_delay_ms=250,
        desired=10,
        confirmed=9,
        acknowledged_at=START_MS + 3_000,
    )
    return msgspec.structs.replace(plain, **changes)


def samples(heartbeat: Heartbeat, now: dt.datetime = NOW, **settings: object) -> Samples:
    found: Samples = {}
    metrics = families(heartbeat, Settings.model_validate(settings), MarketCalendar("24/7"), now)
    for metric in metrics:
        for sample in metric.samples:
            assert sample.labels["program"] == heartbeat.program
            rest = [value for name, value in sample.labels.items() if name != "program"]
            name = " ".join([sample.name.removeprefix("polygon_assets_"), *rest])
            assert name not in found
            found[name] = sample.value
    return found


STATES = (
    *("starting", "standby", "connecting", "streaming"),
    *("waiting", "backing_off", "draining", "stopped"),
)


def test_each_number_has_its_name_and_its_unit() -> None:
    assert samples(beat(), alert_lag_seconds=61, producer_copies=2) == {
        "start_timestamp_seconds": START_MS / 1000 - 60,
        "heartbeat_timestamp_seconds": START_MS / 1000 + 4,
        "heartbeat_acknowledged_timestamp_seconds": START_MS / 1000 + 3,
        "newest_event_timestamp_seconds": START_MS / 1000,
        "newest_received_timestamp_seconds": START_MS / 1000 + 1.5,
        "complete_until_timestamp_seconds": START_MS / 1000 + 3.9,
        "connection_timestamp_seconds": START_MS / 1000 - 50,
        "arrival_delay_seconds": 0.25,
        "forwarded_events_per_second": 12.5,
        "queued_messages": 3,
        "recent_read_events": 50,
        "recent_refused_events": 6,
        "unaccounted_events": 1,
        "day_restarts": 4,
        "desired_channels": 10,
        "confirmed_channels": 9,
        "leader": 1,
        "events_total forwarded": 70,
        "events_total refused": 11,
        "events_total status": 0,
        "events_total unsubscribed": 0,
        "events_total dropped": 0,
        "events_total released": 0,
        "events_read_total": 90,
        "reconnects_total": 0,
        "retries_total": 0,
        "gaps_total": 2,
        "dead_letters_total": 0,
        "dead_letter_retries_total": 0,
        "dead_letter_losses_total": 0,
        "program_info host:7:1": 1,
        **{f"state {state}": float(state == "streaming") for state in STATES},
        "alive": 1,
        "ready": 1,
        "lag_limit_seconds": 61,
        "event_age_limit_seconds": 90,
        "clock_skew_limit_seconds": 1,
        "refused_limit_ratio": 0.01,
        "restarts_limit": 3,
        "producer_copies": 2,
        "market_open": 1,
        "events_due": 1,
    }


TEXT = {
    "detail": "/readyz shows it",
    "last_refusal": "text of a stranger, which belongs in no label",
    "unconfirmed": "names of channels, as many as a person subscribes",
    "subscriptions_version": "a version of a file; `status` shows it",
}


@pytest.mark.parametrize("field", msgspec.structs.fields(Heartbeat), ids=lambda field: field.name)
def test_each_field_of_the_heartbeat_is_exported_unless_it_is_text(
    field: msgspec.structs.FieldInfo,
) -> None:
    changes: dict[str, object] = {
        "program": "filter",
        "instance": "host:8:2",
        "state": "waiting",
        "is_standby": True,
        "counters": {"read": 91},
        "detail": "because",
        "last_refusal": "because",
        "unconfirmed": ["A.AAPL"],
        "subscriptions_version": "another",
    }
    change = changes.get(field.name, 7)
    changed = msgspec.structs.replace(beat(), **{field.name: change})
    is_exported = samples(beat()) != samples(changed)
    assert is_exported == (field.name not in TEXT)


def test_what_is_unknown_is_not_exported() -> None:
    unknown = samples(beat("filter", newest_event=None, lag=None, arrival_delay_ms=None))
    assert {"newest_event_timestamp_seconds", "lag_messages", "arrival_delay_seconds"}.isdisjoint(
        unknown
    )
    assert "leader" not in unknown
    assert samples(beat("filter", lag=0))["lag_messages"] == 0


def test_what_waits_in_memory_is_queued_whichever_program_holds_it() -> None:
    assert samples(beat("producer"))["queued_messages"] == 3
    assert "queued_messages" not in samples(beat("filter"))
    sink = samples(beat("sink"))
    assert (sink["queued_messages"], sink["lag_messages"]) == (8, 3)


def test_a_standby_does_not_lead_and_a_hung_program_is_neither_alive_nor_ready() -> None:
    assert samples(beat(state="standby", is_standby=True))["leader"] == 0
    later = samples(beat(), now=NOW + dt.timedelta(seconds=60))
    assert (later["alive"], later["ready"]) == (0, 0)


def test_the_hours_of_a_replayed_market_are_not_known() -> None:
    for replay, is_known in (("2026-11-20T15:50", False), ("", True)):
        settings = Settings.model_validate({"market_replay": replay, "market_calendar": "24/7"})
        exported = registry_of("producer", beat, settings).collect()
        names = {metric.name for metric in exported}
        assert ("polygon_assets_market_open" in names) is is_known


def test_a_calendar_that_ends_costs_only_the_hours_of_the_market() -> None:
    far = dt.datetime(2090, 1, 2, 15, tzinfo=dt.UTC)
    names = {item.name for item in families(beat(), Settings(), MarketCalendar("NYSE"), far)}
    assert "polygon_assets_market_open" not in names
    assert "polygon_assets_alive" in names


def test_a_write_is_observed_beside_the_heartbeat() -> None:
    registry = registry_of("sink", lambda: beat("sink"), Settings())
    before = _writes(registry)
    observe_write("sink", "written", 0.2)
    assert _writes(registry) == before + 1
    assert registry.get_sample_value("process_resident_memory_bytes")
    producer = registry_of("producer", beat, Settings())
    assert "polygon_assets_write_duration_seconds" not in {item.name for item in producer.collect()}


def _writes(registry: CollectorRegistry) -> float:
    labels = {"program": "sink", "outcome": "written"}
    count = registry.get_sample_value("polygon_assets_write_duration_seconds_count", labels)
    assert count is not None
    return count


def test_every_counter_that_a_program_counts_is_exported() -> None:
    """Read off the calls of `count` and `count_all`, and off the dead letter loader's gauges."""
    folder = Path(polygon_assets.streaming.__file__).parent
    counted: set[str] = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr == "count" and isinstance(node.args[0], ast.Constant):
                    counted.add(str(node.args[0].value))
                if node.func.attr == "count_all":
                    counted |= _literal_keys(node)
            if isinstance(node, ast.FunctionDef) and node.name == "counters":
                counted |= _literal_keys(node)
    assert {"reconnects", "dead_letters", "read", "waiting"} <= counted
    assert counted <= {*COUNTERS, *OUTCOMES}


def _literal_keys(node: ast.AST) -> set[str]:
    keys = {word.arg for word in getattr(node, "keywords", []) if word.arg}
    for part in ast.walk(node):
        if isinstance(part, ast.Dict):
            keys |= {str(key.value) for key in part.keys if isinstance(key, ast.Constant)}
    return keys
