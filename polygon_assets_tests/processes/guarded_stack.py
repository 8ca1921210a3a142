"""A stack whose Apache Kafka asks for certificates, logins and rights, and commands that use it.

Add what several tests of the guarded broker need here; its properties belong to `apache_broker`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from polygon_assets.cli import main
from polygon_assets.local.launcher.ports import HOST
from polygon_assets.local.launcher.servers import embedded_servers
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings
from polygon_assets.streaming.create_topics import create_missing_topics
from polygon_assets.topics import (
    ARCHIVER_GROUP,
    DEAD_LETTER_GROUP,
    FILTER_GROUP,
    PRODUCER_GROUP,
    SINK_GROUP,
    TOPICS,
)
from polygon_assets_tests.certificates import Authority
from polygon_assets_tests.planted_secrets import PLANTED, leaks
from polygon_assets_tests.processes.apache_broker import Administrator, guarded_broker
from polygon_assets_tests.processes.harness import Program
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS

USER, PASSWORD = "streams", PLANTED["KAFKA_SASL_PASSWORD"]
GROUPS = (PRODUCER_GROUP, FILTER_GROUP, SINK_GROUP, DEAD_LETTER_GROUP, ARCHIVER_GROUP)
RIGHTS = (
    *((topic.name, "", right) for topic in TOPICS for right in ("CREATE", "READ", "WRITE")),
    *(("", group, "READ") for group in GROUPS),
)
"""Topic or group, and the right that README names for it."""


@contextmanager
def guarded_stack(folder: Path, authority: Authority, other_port: int) -> Iterator[Stack]:
    """A guarded broker with one user, who created the topics; ClickHouse, S3 and the exchange.

    At `other_port` the broker's certificate names another machine.
    """

    def variables(port: int) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "CA_BUNDLE": str(authority.bundle),
        }

    def prepare(settings: Settings) -> None:
        Administrator(settings).add_user(USER, PASSWORD)
        for topic, group, right in RIGHTS:
            Administrator(settings).allow(USER, right, topic, group)
        create_missing_topics(settings, replication_factor=1)

    kafka = replace(guarded_broker(authority, other_port), variables=variables, prepare=prepare)
    others = [
        server
        for server in embedded_servers(EXCHANGE_OPTIONS)
        if server.name in ("exchange", "clickhouse", "s3")
    ]
    stack = Stack(folder, [kafka, *others], fixed_ports=False)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


class Command:
    """The command line with the stack's environment and a test's changes."""

    def __init__(self, environment: Mapping[str, str], patch: pytest.MonkeyPatch) -> None:
        for name, value in environment.items():
            patch.setenv(name, value)

    def kafka_in_status(self) -> str:
        answer = CliRunner().invoke(main, ["status", "--json"])
        assert leaks(answer.output) == []
        facts = json.loads(answer.stdout)["services"]["kafka"]
        return "" if facts["ok"] else str(facts["detail"])

    def kafka_in_doctor(self) -> str:
        answer = CliRunner().invoke(main, ["doctor"])
        assert leaks(answer.output) == []
        [line] = [line for line in answer.output.splitlines() if " Kafka: " in line]
        return line.removeprefix("MISSING Kafka: ") if line.startswith("MISSING") else ""

    def migrate(self) -> str:
        answer = CliRunner().invoke(main, ["migrate"])
        assert leaks(answer.output) == []
        assert isinstance(answer.exception, SystemExit | None), answer.exception
        return answer.stderr.splitlines()[-1].removeprefix("Error: ") if answer.exit_code else ""

    def everywhere(self) -> list[str]:
        """Why Kafka cannot be used, in `status`, `doctor` and `migrate`."""
        return [self.kafka_in_status(), self.kafka_in_doctor(), self.migrate()]


def assert_nothing_leaks(program: Program) -> None:
    assert leaks(program.log + program.command_line()) == []


def lines_with(program: Program, text: str) -> list[str]:
    assert "Traceback" not in program.log, program.log
    return [line for line in program.log.splitlines() if text in line]
