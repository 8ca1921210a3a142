"""The filter as a job of Flink SQL beside our filter: the same messages, and equal topics.

Its statements without an engine belong to unit/provisioning/test_engine_filter.py.
"""

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer
from kafka.admin import NewTopic

from polygon_assets.cli import main
from polygon_assets.clients.kafka import connect_admin, connect_inspector
from polygon_assets.inspection.streams import positions
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import DeadLetter, decode_dead_letter, decode_filtered
from polygon_assets.settings import Settings
from polygon_assets.topics import DEAD_LETTER_TOPIC, FILTER_GROUP, FILTERED_TOPIC, RAW_TOPIC
from polygon_assets_tests.processes import flink_engine
from polygon_assets_tests.processes.harness import (
    Programs,
    eventually,
    put_in_force,
    read_all,
    send,
)
from polygon_assets_tests.unit.provisioning.filter_cases import SUBSCRIBED, comparable, messages

pytestmark = [pytest.mark.apache_kafka, pytest.mark.long, pytest.mark.timeout(400)]

SERVERS = ("kafka", "s3")
FLINK_ROWS, FLINK_LETTERS = "flink_rows", "flink_letters"
OUTPUTS = {FILTERED_TOPIC: FLINK_ROWS, DEAD_LETTER_TOPIC: FLINK_LETTERS}


@pytest.fixture(scope="module")
def flink_folder() -> Path:
    return flink_engine.distribution()


@pytest.fixture(scope="module")
def outputs(
    flink_folder: Path, stack: Stack, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Two topics with Flink's output for every case, in the transactions of its checkpoints."""
    admin = connect_admin(settings)
    admin.create_topics([NewTopic(name, 6, 1) for name in OUTPUTS.values()])
    admin.close()
    put_in_force(settings, *(f"A.{symbol}" for symbol in SUBSCRIBED))
    send(settings, RAW_TOPIC, [("AAPL", message) for message in messages()])
    printed = CliRunner().invoke(main, ["engine-filter", "flink"], env=stack.environment())
    assert printed.exit_code == 0, printed.stderr
    # A job with an end: Flink commits its last transaction there.
    start = "'scan.startup.mode' = 'group-offsets'"
    changes = OUTPUTS | {start: f"{start}, 'scan.bounded.mode' = 'latest-offset'"}
    job = printed.stdout
    for before, after in changes.items():
        assert job.count(before) == 1
        job = job.replace(before, after)
    flink_engine.run(flink_folder, job, tmp_path_factory.mktemp("flink"))
    return settings


def test_flink_forwards_and_refuses_what_our_filter_does(
    outputs: Settings, programs: Programs
) -> None:
    program = programs.start("filter")
    eventually(lambda: positions(outputs, FILTER_GROUP, RAW_TOPIC).lag == 0, "our filter is done")
    assert program.stop() == 0
    assert letters(outputs, FLINK_LETTERS) == letters(outputs, DEAD_LETTER_TOPIC)
    assert rows(outputs, FLINK_ROWS) == rows(outputs, FILTERED_TOPIC)


def rows(settings: Settings, topic: str) -> Counter[str]:
    """The topic's messages with partition, key and order of fields.

    Numbers are read, because 50 is 50.0 in Flink, and so is a number that Java writes otherwise.
    """
    found = Counter(
        f"{record.partition} {record.key!r} {decode_filtered(record.value)} {fields(record.value)}"
        for record in read_all(settings, topic)
    )
    assert found, topic
    return found


def fields(value: bytes) -> list[str]:
    return [part.split('":')[0] for part in value.decode().split(',"')]


def letters(settings: Settings, topic: str) -> dict[tuple[str | None, int | None, int | None], str]:
    """By origin, each dead letter without its time, its reason as far as it is to be equal."""
    found = [decode_dead_letter(record.value) for record in read_all(settings, topic)]
    assert found, topic
    return {(letter.topic, letter.partition, letter.offset): described(letter) for letter in found}


def described(letter: DeadLetter) -> str:
    letter.refused_at = 0
    letter.reason = comparable(letter.reason)
    return str(letter)


def test_readers_of_committed_messages_see_each_row_once_and_a_marker_takes_an_offset(
    outputs: Settings,
) -> None:
    consumer: KafkaConsumer = connect_inspector(
        outputs, FLINK_ROWS, isolation_level="read_committed", consumer_timeout_ms=5_000
    )
    committed = [record.value for record in consumer]
    ends = consumer.end_offsets(consumer.assignment()).values()
    consumer.close()
    assert Counter(committed) == Counter(record.value for record in read_all(outputs, FLINK_ROWS))
    # docs/engines.md: the lag of a group that has read everything is not 0.
    assert sum(ends) > len(committed)
