"""Rights and quotas on a broker that allows nothing by itself: applied once, and they suffice.

Topics without rights belong to test_topic_plan.py; what a missing right looks like to
test_kafka_rights.py.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from polygon_assets.cli import main
from polygon_assets.inspection import KafkaUnreachableError, gaps, streams
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.servers import embedded_servers
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings
from polygon_assets.topics import FILTERED_TOPIC, RAW_TOPIC, READERS, ROLES, SINK_GROUP
from polygon_assets_tests.certificates import make_authority
from polygon_assets_tests.planted_secrets import PLANTED, leaks
from polygon_assets_tests.processes.apache_broker import (
    ADMINISTRATOR,
    ADMINISTRATORS_PASSWORD,
    Administrator,
    guarded_broker,
)
from polygon_assets_tests.processes.harness import (
    Programs,
    connect_clickhouse,
    eventually,
    final_rows,
    put_in_force,
    send_raw,
)
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS
from polygon_assets_tests.processes.test_filter import seconds_of

pytestmark = pytest.mark.apache_kafka

PASSWORD = PLANTED["KAFKA_SASL_PASSWORD"]
PRINCIPALS = ";".join(f"{role}=User:{role}" for role in ROLES)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A guarded broker whose users have no right yet; ClickHouse, S3 and the exchange."""
    authority = make_authority(tmp_path_factory.mktemp("authority"))

    def variables(port: int) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": "dagster",
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "CA_BUNDLE": str(authority.bundle),
        }

    def add_users(settings: Settings) -> None:
        for role in ROLES:
            Administrator(settings).add_user(role, PASSWORD)

    broker = guarded_broker(authority, free_port(0, set()))
    others = [
        server
        for server in embedded_servers(EXCHANGE_OPTIONS)
        if server.name in ("exchange", "clickhouse", "s3")
    ]
    kafka = replace(broker, variables=variables, prepare=add_users)
    running = Stack(tmp_path_factory.mktemp("stack"), [kafka, *others], fixed_ports=False)
    running.start()
    yield running
    running.stop()


def run(stack: Stack, patch: pytest.MonkeyPatch, *arguments: str, **changes: str) -> Result:
    """`topics` as the administrator, unless `changes` name another user."""
    login = {
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": ADMINISTRATOR,
        "KAFKA_SASL_PASSWORD": ADMINISTRATORS_PASSWORD,
        "KAFKA_PRINCIPALS": PRINCIPALS,
    }
    for name, value in (stack.environment() | login | changes).items():
        patch.setenv(name, value)
    result = CliRunner().invoke(main, ["topics", *arguments])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert leaks(result.output) == []
    return result


@pytest.fixture(autouse=True)
def applied(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The topics, rights and quotas are applied."""
    result = run(stack, monkeypatch, "apply", "--yes")
    assert result.exit_code == 0, result.output


def test_rights_and_quotas_are_applied_once(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    again = run(stack, monkeypatch, "plan")
    assert (again.exit_code, again.stdout) == (0, "no difference\n")
    administrator = Administrator(stack.settings())
    administrator.forbid("filter", "WRITE", FILTERED_TOPIC)
    missing = run(stack, monkeypatch, "plan")
    difference = f"allow User:filter WRITE on topic {FILTERED_TOPIC}"
    assert (missing.exit_code, missing.stdout) == (2, f"+ {difference}\n")
    assert f"done: {difference}" in run(stack, monkeypatch, "apply", "--yes").stdout
    assert run(stack, monkeypatch, "plan").exit_code == 0


def test_an_added_principal_adds_its_rights_alone(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = run(stack, monkeypatch, "plan", "--principal", "archiver=User:second")
    lines = shown.stdout.splitlines()
    assert [line for line in lines if " quota " in line] == [
        "~ quota of User:second: consumer_byte_rate not set -> 104857600"
    ]
    assert len(lines) == len(ROLES["archiver"].rights) + 1


def test_a_user_without_rights_is_named_with_the_right_that_the_plan_needs(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_PASSWORD": PASSWORD}
    refused = run(stack, monkeypatch, "plan", KAFKA_SASL_USERNAME="archiver", **user)
    assert refused.exit_code == 1
    assert "does not let user 'archiver' describe" in refused.stderr


def rows(settings: Settings, symbol: str) -> int:
    with closing(connect_clickhouse(settings)) as client:
        return len(final_rows(client, symbol))


def states(settings: Settings) -> dict[str, str]:
    return {name: beat.state for name, beat in streams.heartbeats(settings).items()}


def test_every_program_works_with_the_rights_of_its_role_alone(
    stack: Stack, settings: Settings, tmp_path: Path
) -> None:
    put_in_force(settings, "A.RIGHTS", "A.AAPL")
    programs = {
        name: Programs(stack.environment() | {"KAFKA_SASL_USERNAME": name}, tmp_path)
        for name in ("producer", "filter", "sink", "archiver")
    }
    try:
        running = [programs[name].start(name, PRODUCER_COPIES="2") for name in programs]
        # As gaps are filled: with the rights of Dagster.
        send_raw(settings, seconds_of("RIGHTS", 50))
        eventually(lambda: rows(settings, "RIGHTS") == 50, "rows that are sent to the topic")
        eventually(lambda: rows(settings, "AAPL"), "rows of the live market")
        eventually(lambda: streams.positions(settings, *READERS["archiver"]).committed, "archived")
        eventually(lambda: states(settings) == dict.fromkeys(programs, "streaming"), "all stream")
        for program in running:
            assert "does not let user" not in program.log, program.log
            assert program.stop() == 0, program.log
    finally:
        for started in programs.values():
            started.kill_all()


def test_dagster_reads_lag_and_ledger_and_nobody_reads_for_another(
    settings: Settings,
) -> None:
    assert gaps.ledger(settings) is not None
    for group, topic in READERS.values():
        assert streams.positions(settings, group, topic).lag >= 0
    other = settings.model_copy(update={"kafka_sasl_username": "producer"})
    with pytest.raises(KafkaUnreachableError, match="does not let user 'producer'"):
        streams.positions(other, SINK_GROUP, RAW_TOPIC)
