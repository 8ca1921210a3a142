"""`polygon-assets topics` on a broker: what it shows, what it changes, and that it changes it once.

Rights and quotas, which the embedded broker lacks, belong to test_topic_rights.py.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from polygon_assets.cli import main
from polygon_assets.clients.kafka import connect_admin
from polygon_assets.inspection.streams import missing_topics
from polygon_assets.local.launcher import stack as launcher
from polygon_assets.local.launcher.servers import KAFKAS
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings
from polygon_assets.topics import FILTERED_TOPIC, GAP_TOPIC, RAW_TOPIC, TOPICS

NO_CHANGE, DIFFERENT, FAILED = 0, 2, 1


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A broker without topics."""
    bare = replace(KAFKAS[launcher.DEFAULT_KAFKA], prepare=lambda _: None)
    running = Stack(tmp_path_factory.mktemp("kafka"), [bare], fixed_ports=False)
    running.start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def topics(settings: Settings) -> Iterator[None]:
    """Each test begins without topics."""
    yield
    present = {topic.name for topic in TOPICS} - set(missing_topics(settings))
    with closing(connect_admin(settings)) as admin:
        if present:
            admin.delete_topics(sorted(present))


def run(*arguments: str, answer: str = "") -> Result:
    result = CliRunner().invoke(main, ["topics", *arguments], input=answer)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def create(settings: Settings, name: str, partitions: int) -> None:
    with closing(connect_admin(settings)) as admin:
        admin.create_topics({name: {"num_partitions": partitions, "replication_factor": 1}})
        admin.wait_for_topics([name])


def configure(settings: Settings, name: str, **configs: str) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    named = {key.replace("_", "."): value for key, value in configs.items()}
    with closing(connect_admin(settings)) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, name, configs=named)
        admin.alter_configs([resource], raise_on_unknown=False)


def partition_count(settings: Settings, name: str) -> int:
    with closing(connect_admin(settings)) as admin:
        [topic] = admin.describe_topics([name])
    return len(topic["partitions"])


def test_what_is_missing_is_shown_then_created_and_a_repetition_changes_nothing(
    settings: Settings,
) -> None:
    shown = run("plan")
    assert shown.exit_code == DIFFERENT
    assert shown.stdout.count("+ create topic ") == len(TOPICS)
    assert len(missing_topics(settings)) == len(TOPICS)
    applied = run("apply", "--yes")
    assert applied.exit_code == NO_CHANGE
    assert applied.stdout.count("done: create topic ") == len(TOPICS)
    assert missing_topics(settings) == []
    for again in (run("plan"), run("apply", "--yes")):
        assert (again.exit_code, again.stdout) == (NO_CHANGE, "no difference\n")


def test_nothing_is_changed_without_a_yes(settings: Settings) -> None:
    refused = run("apply", answer="n\n")
    assert refused.exit_code == FAILED
    assert f"Make {len(TOPICS)} change(s)?" in refused.stdout
    assert len(missing_topics(settings)) == len(TOPICS)
    assert run("apply", answer="y\n").exit_code == NO_CHANGE
    assert missing_topics(settings) == []


def test_a_retention_changed_by_hand_is_shown_and_repaired(settings: Settings) -> None:
    run("apply", "--yes")
    configure(settings, FILTERED_TOPIC, retention_ms="60000", max_message_bytes="2000000")
    shown = run("plan")
    difference = f"topic {FILTERED_TOPIC}: retention.ms 60000 -> 604800000"
    assert (shown.exit_code, shown.stdout) == (DIFFERENT, f"~ {difference}\n")
    assert f"done: {difference}" in run("apply", "--yes").stdout
    assert run("plan").exit_code == NO_CHANGE
    # What is not declared stays.
    with closing(connect_admin(settings)) as admin:
        from kafka.admin import ConfigResource, ConfigResourceType

        resource = ConfigResource(ConfigResourceType.TOPIC, FILTERED_TOPIC)
        configs = admin.describe_configs([resource], config_filter="all")["topic"][FILTERED_TOPIC]
    assert configs["max.message.bytes"]["value"] == "2000000"


def test_the_doctor_warns_of_topics_that_differ_without_changing_them(settings: Settings) -> None:
    def lines() -> list[str]:
        output = CliRunner().invoke(main, ["doctor"]).stdout
        return [line for line in output.splitlines() if "topic" in line]

    run("apply", "--yes")
    assert lines() == [f"ok      Kafka: {settings.kafka_bootstrap_servers} has all 6 topics"]
    configure(settings, FILTERED_TOPIC, retention_ms="60000")
    _, warning, cure = lines()
    assert warning == f"warning topics: {FILTERED_TOPIC}: retention.ms 60000 -> 604800000"
    assert "`polygon-assets topics plan` shows it, `topics apply` changes it" in cure
    assert run("plan").exit_code == DIFFERENT


def test_more_partitions_than_declared_are_named_and_kept(settings: Settings) -> None:
    create(settings, RAW_TOPIC, 8)
    applied = run("apply", "--yes")
    assert applied.exit_code == DIFFERENT
    assert f"! topic {RAW_TOPIC}: 8 partitions, declared 6; not changed" in applied.stdout
    assert missing_topics(settings) == []
    assert partition_count(settings, RAW_TOPIC) == 8
    assert run("plan").exit_code == DIFFERENT


def test_another_replication_factor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    run("apply", "--yes")
    monkeypatch.setenv("KAFKA_REPLICATION_FACTOR", "3")
    shown = run("plan")
    assert shown.exit_code == DIFFERENT
    assert shown.stdout.count("replication factor 1, KAFKA_REPLICATION_FACTOR=3") == len(TOPICS)


def test_a_principal_on_a_cluster_without_rights_is_told_so_and_the_rest_goes_on(
    settings: Settings,
) -> None:
    applied = run("apply", "--yes", "--principal", "producer=User:producer")
    assert applied.exit_code == NO_CHANGE
    assert "note: ACLs are not compared: the brokers " in applied.stdout
    assert missing_topics(settings) == []


def test_a_principal_without_a_kind_is_refused() -> None:
    refused = run("plan", "--principal", "producer=me")
    assert refused.exit_code == FAILED
    assert "write ROLE=PRINCIPAL such as producer=User:sa-1" in refused.stderr


@pytest.mark.embedded_kafka
def test_the_embedded_broker_cannot_raise_partitions_and_the_error_names_the_change(
    settings: Settings,
) -> None:
    create(settings, RAW_TOPIC, 2)
    failed = run("apply", "--yes")
    assert failed.exit_code == FAILED
    assert f"Error: topic {RAW_TOPIC}: partitions 2 -> 6: Kafka at 127.0.0.1:" in failed.stderr


@pytest.mark.apache_kafka
def test_partitions_are_raised(settings: Settings) -> None:
    create(settings, RAW_TOPIC, 2)
    assert f"~ topic {RAW_TOPIC}: partitions 2 -> 6" in run("plan").stdout
    assert run("apply", "--yes").exit_code == NO_CHANGE
    assert partition_count(settings, RAW_TOPIC) == 6
    assert run("plan").exit_code == NO_CHANGE


def test_the_raw_and_the_filtered_topic_have_as_many_partitions_as_the_setting_says(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_PARTITIONS", "9")
    assert run("apply", "--yes").exit_code == NO_CHANGE
    assert [partition_count(settings, name) for name in (RAW_TOPIC, FILTERED_TOPIC)] == [9, 9]
    assert partition_count(settings, GAP_TOPIC) == 6
    assert run("plan").exit_code == NO_CHANGE
    monkeypatch.delenv("KAFKA_PARTITIONS")
    assert "or raise KAFKA_PARTITIONS" in run("plan").stdout
