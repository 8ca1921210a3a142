"""Kafka over TLS with an own authority: logins by SCRAM and PLAIN, and each of their refusals.

Rights belong to test_kafka_rights.py; which certificates clients trust to unit/clients/test_tls.py.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from polygon_assets.inspection.streams import missing_topics, positions
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings
from polygon_assets.streaming.program import EXIT_BAD_SETTINGS
from polygon_assets.topics import (
    ARCHIVER_GROUP,
    FILTER_GROUP,
    FILTERED_TOPIC,
    RAW_TOPIC,
    SINK_GROUP,
)
from polygon_assets_tests.certificates import Authority, make_authority
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
    connect_clickhouse,
    eventually,
    final_rows,
    put_in_force,
    send_raw,
)
from polygon_assets_tests.processes.live_market import SYMBOLS, Live
from polygon_assets_tests.processes.test_filter import filtered, seconds_of, starts

pytestmark = pytest.mark.apache_kafka


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other_port() -> int:
    """Here the broker's certificate names another machine."""
    return free_port(0, set())


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, other_port: int
) -> Iterator[Stack]:
    """The guarded stack."""
    with guarded_stack(tmp_path_factory.mktemp("stack"), authority, other_port) as running:
        yield running


@pytest.fixture
def administrator(settings: Settings) -> Administrator:
    return Administrator(settings)


@pytest.fixture
def environment(stack: Stack) -> dict[str, str]:
    return stack.environment()


def is_caught_up(settings: Settings, group: str, topic: str) -> bool:
    return positions(settings, group, topic).lag == 0


def test_the_four_programs_run_over_tls_and_scram_and_show_no_password(
    live: Live,
    programs: Programs,
    settings: Settings,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumers = [
        programs.start(name, ARCHIVE_MAX_SECONDS="1") for name in ("filter", "sink", "archiver")
    ]
    producer = live.start(*SYMBOLS)
    client = connect_clickhouse(settings)
    for symbol in SYMBOLS:
        producer.until(partial(final_rows, client, symbol), f"{symbol} arrives")
    assert producer.stop() == 0
    assert live.missing(*SYMBOLS) == []
    for group, topic in (
        (FILTER_GROUP, RAW_TOPIC),
        (SINK_GROUP, FILTERED_TOPIC),
        (ARCHIVER_GROUP, RAW_TOPIC),
    ):
        eventually(partial(is_caught_up, settings, group, topic), f"{group} has read everything")
    command = Command(environment, monkeypatch)
    assert command.everywhere() == ["", "", ""]
    for program in consumers:
        assert_nothing_leaks(program)
        assert program.stop() == 0, program.log


def test_plain_is_accepted_too(settings: Settings) -> None:
    administrator = Administrator(settings)
    assert administrator.settings.kafka_sasl_mechanism == "PLAIN"
    assert missing_topics(administrator.settings) == []


CHECK_LOGIN = "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM="


@pytest.fixture
def mistakes(other_port: int, tmp_path: Path) -> dict[str, tuple[dict[str, str], list[str]]]:
    """Changed variables, and what the error says about each: the fault and the cure."""
    strangers = make_authority(tmp_path).bundle
    return {
        "wrong password": (
            {"KAFKA_SASL_PASSWORD": "another-password-5f1e"},
            ["refuses the login of user 'streams': ", f"{CHECK_LOGIN}SCRAM-SHA-512"],
        ),
        "mechanism that the broker lacks": (
            {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"},
            ["mechanisms: PLAIN,SCRAM-SHA-512", f"{CHECK_LOGIN}SCRAM-SHA-256"],
        ),
        "no user": (
            {"KAFKA_SASL_USERNAME": ""},
            ["KAFKA_SASL_USERNAME"],
        ),
        "unknown authority": (
            {"CA_BUNDLE": str(strangers)},
            ["certificate verify failed: ", f"CA_BUNDLE='{strangers}' must name a PEM file"],
        ),
        "other server": (
            {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{other_port}"},
            [f"certificate is not valid for '{HOST}'", "check KAFKA_BOOTSTRAP_SERVERS"],
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        "wrong password",
        "mechanism that the broker lacks",
        "no user",
        "unknown authority",
        "other server",
    ],
)
def test_a_refused_connection_is_one_error_with_its_cure_in_every_command(
    mistakes: dict[str, tuple[dict[str, str], list[str]]],
    name: str,
    programs: Programs,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes, shown = mistakes[name]
    program = programs.start("filter", **changes)
    for reason in Command(environment | changes, monkeypatch).everywhere():
        assert [text for text in shown if text not in reason] == [], reason
        assert "another-password-5f1e" not in reason
    assert program.exit_code() == EXIT_BAD_SETTINGS
    [line] = lines_with(program, shown[0])
    assert [text for text in shown if text not in line] == [], line
    assert "another-password-5f1e" not in program.log


def test_the_work_goes_on_with_a_corrected_password(
    administrator: Administrator, settings: Settings, programs: Programs
) -> None:
    put_in_force(settings, "A.ROTATED")
    first = programs.start("filter")
    first.wait_for_log("filter streaming")
    events = seconds_of("ROTATED", 60)
    send_raw(settings, events[:20])
    first.until(lambda: len(filtered(settings, "ROTATED")) == 20, "it forwards")
    administrator.add_user(USER, "new-password-5f1e")
    try:
        send_raw(administrator.settings, events[20:40])
        assert first.stop() == 0, "a change of the password ends no connection"
        assert programs.start("filter").exit_code() == EXIT_BAD_SETTINGS
        send_raw(administrator.settings, events[40:])
        second = programs.start("filter", KAFKA_SASL_PASSWORD="new-password-5f1e")
        second.until(
            lambda: (
                starts(filtered(administrator.settings, "ROTATED"))
                == {event.start_timestamp for event in events}
            ),
            "every message is forwarded",
        )
        assert second.stop() == 0, second.log
    finally:
        administrator.add_user(USER, PASSWORD)
