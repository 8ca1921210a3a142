"""What a user may do at Kafka: each right that is missing is named, and nothing is lost meanwhile.

Logins and certificates belong to test_kafka_login.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import missing_topics, positions
from polygon_assets.local.launcher.ports import free_port
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import RawAggregate, encode
from polygon_assets.settings import Settings
from polygon_assets.streaming.delivery import Delivery
from polygon_assets.topics import (
    FILTER_GROUP,
    FILTERED_TOPIC,
    LEADER_TOPIC,
    RAW_TOPIC,
    SINK_GROUP,
    STATUS_TOPIC,
)
from polygon_assets_tests.certificates import make_authority
from polygon_assets_tests.processes.apache_broker import (
    Administrator,
)
from polygon_assets_tests.processes.guarded_stack import (
    PASSWORD,
    USER,
    Command,
    assert_nothing_leaks,
    guarded_stack,
    lines_with,
)
from polygon_assets_tests.processes.harness import (
    Programs,
    beat,
    put_in_force,
    raw_aggregates,
    send_raw,
)
from polygon_assets_tests.processes.live_market import SYMBOLS, Live
from polygon_assets_tests.processes.test_filter import filtered, seconds_of, starts

pytestmark = pytest.mark.apache_kafka


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The guarded stack."""
    authority = make_authority(tmp_path_factory.mktemp("authority"))
    folder = tmp_path_factory.mktemp("stack")
    with guarded_stack(folder, authority, free_port(0, set())) as running:
        yield running


@pytest.fixture
def administrator(settings: Settings) -> Administrator:
    return Administrator(settings)


@pytest.fixture
def environment(stack: Stack) -> dict[str, str]:
    return stack.environment()


def test_a_user_who_may_see_no_topic_is_told_so_and_not_that_the_topics_are_missing(
    administrator: Administrator, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    administrator.add_user("stranger", PASSWORD)
    command = Command(environment | {"KAFKA_SASL_USERNAME": "stranger"}, monkeypatch)
    for reason in command.everywhere():
        assert "does not let user 'stranger' describe topic polygon_stream_aggregates" in reason
        assert "must add an ACL that allows DESCRIBE on it" in reason


def test_migrate_names_the_right_to_create_and_works_once_it_is_granted(
    administrator: Administrator, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Command(environment, monkeypatch)
    administrator.forbid(USER, "CREATE", LEADER_TOPIC)
    administrator.delete_topic(LEADER_TOPIC)
    assert f"does not let user 'streams' create topic {LEADER_TOPIC}" in command.migrate()
    administrator.allow(USER, "CREATE", LEADER_TOPIC)
    assert command.migrate() == ""
    assert missing_topics(administrator.settings) == []


@dataclass(frozen=True)
class Right:
    """A right that the filter needs, and how it reports that it is missing."""

    symbol: str
    operation: str
    report: str
    topic: str = ""
    group: str = ""

    @property
    def sentence(self) -> str:
        resource = f"topic {self.topic}" if self.topic else f"group {self.group}"
        return (
            f"does not let user 'streams' {self.operation.lower()} {resource}; "
            f"an administrator must add an ACL that allows {self.operation} on it"
        )


@pytest.mark.parametrize(
    "right",
    [
        Right("READS", "READ", "waiting: ", topic=RAW_TOPIC),
        Right("JOINS", "READ", "waiting: ", group=FILTER_GROUP),
        Right("WRITES", "WRITE", "backing_off: ", topic=FILTERED_TOPIC),
        Right("BEATS", "WRITE", "a heartbeat was not delivered: ", topic=STATUS_TOPIC),
    ],
    ids=lambda right: right.symbol.lower(),
)
def test_a_program_names_the_right_it_lacks_and_loses_nothing_once_it_is_granted(
    administrator: Administrator, settings: Settings, programs: Programs, right: Right
) -> None:
    put_in_force(settings, f"A.{right.symbol}")
    administrator.allow(USER, "DESCRIBE", right.topic, right.group)
    administrator.forbid(USER, right.operation, right.topic, right.group)
    program = programs.start("filter")
    try:
        events = seconds_of(right.symbol, 50)
        send_raw(administrator.settings, events)
        program.wait_for_log(right.sentence)
        assert all(right.report in line for line in lines_with(program, right.sentence))
    finally:
        administrator.allow(USER, right.operation, right.topic, right.group)
    program.until(
        lambda: starts(filtered(administrator.settings, right.symbol)) == starts_of(events),
        "every message is forwarded",
    )
    program.until(
        lambda: (last := beat(settings, "filter")) and last.state == "streaming", "it streams"
    )
    assert_nothing_leaks(program)
    assert program.stop() == 0, program.log


def starts_of(events: list[RawAggregate]) -> set[int]:
    return {event.start_timestamp for event in events}


def test_status_names_the_right_that_the_lag_needs(
    administrator: Administrator, settings: Settings
) -> None:
    """A group that cannot be read must not look like one without lag."""
    administrator.forbid(USER, "READ", "", SINK_GROUP)
    try:
        with pytest.raises(KafkaUnreachableError, match=f"read group {SINK_GROUP}; an admin"):
            positions(settings, SINK_GROUP, FILTERED_TOPIC)
    finally:
        administrator.allow(USER, "READ", "", SINK_GROUP)


def test_events_that_the_broker_refused_before_a_crash_are_within_the_gap(
    live: Live, administrator: Administrator
) -> None:
    """The heartbeat arrives all the while, and must not claim events that wait in memory."""
    first = live.start(*SYMBOLS)
    first.until(live.written, "events arrive")
    administrator.forbid(USER, "WRITE", RAW_TOPIC)
    try:
        refused = live.beat_with(first, lambda last: last.state == "backing_off")
        assert f"write topic {RAW_TOPIC}; an administrator" in refused.detail
        live.beat_with(first, lambda last: last.sent_at > refused.sent_at + 3_000)
        first.kill()
    finally:
        administrator.allow(USER, "WRITE", RAW_TOPIC)
    second = live.start(*SYMBOLS)
    [gap] = second.until(live.gaps, "a gap is in the ledger")
    assert gap.reason == "crash"
    assert second.stop() == 0, second.log
    assert live.missing(*SYMBOLS) == []


def test_events_that_the_broker_refused_are_delivered_once_the_right_is_granted(
    live: Live, administrator: Administrator
) -> None:
    program = live.start(*SYMBOLS)
    program.until(live.written, "events arrive")
    administrator.forbid(USER, "WRITE", RAW_TOPIC)
    refused = live.beat_with(program, lambda last: last.state == "backing_off")
    administrator.allow(USER, "WRITE", RAW_TOPIC)
    live.beat_with(
        program, lambda last: last.state == "streaming" and last.sent_at > refused.sent_at
    )
    assert program.stop() == 0, program.log
    assert live.gaps() == []
    assert live.missing(*SYMBOLS) == []


def test_events_that_the_client_itself_refuses_are_delivered_too(
    settings: Settings, administrator: Administrator
) -> None:
    """At a high rate most are: the client asks no broker while it knows what it would say."""
    delivery = Delivery(settings)
    events = seconds_of("REFUSED", 3_000)
    administrator.forbid(USER, "WRITE", RAW_TOPIC)
    for event in events:
        assert delivery.send(RAW_TOPIC, event.symbol.encode(), encode(event))
        delivery.serve(0.001)
    assert f"write topic {RAW_TOPIC}; an administrator" in delivery.refusal
    administrator.allow(USER, "WRITE", RAW_TOPIC)
    assert delivery.flush(10) == 0
    written = [item for item in raw_aggregates(settings) if item.symbol == "REFUSED"]
    assert starts_of(written) == starts_of(events)
