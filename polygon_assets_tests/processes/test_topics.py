"""The topics as `polygon-assets migrate` creates them, on a broker without topics."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from polygon_assets.inspection.streams import missing_topics
from polygon_assets.local.launcher.ports import free_port
from polygon_assets.local.launcher.servers import embedded_servers
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings
from polygon_assets.streaming.create_topics import TopicError, create_missing_topics
from polygon_assets.topics import GAP_TOPIC, RAW_TOPIC, STATUS_TOPIC, TOPICS

NAMES = [topic.name for topic in TOPICS]


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of a broker without topics."""
    [server] = [server for server in embedded_servers() if server.name == "kafka"]
    bare = replace(server, prepare=lambda _: None)
    stack = Stack(tmp_path_factory.mktemp("kafka"), [bare], fixed_ports=False)
    stack.start()
    yield stack.settings()
    stack.stop()


def test_every_topic_is_created_once(settings: Settings) -> None:
    assert missing_topics(settings) == NAMES
    assert sorted(create_missing_topics(settings)) == sorted(NAMES)
    assert missing_topics(settings) == []
    assert create_missing_topics(settings) == []


def test_a_broker_that_is_away_is_named() -> None:
    servers = f"127.0.0.1:{free_port(0, set())}"
    settings = Settings(kafka_bootstrap_servers=servers)
    with pytest.raises(TopicError, match=servers):
        create_missing_topics(settings)


def test_heartbeats_and_gaps_are_compacted_and_events_expire() -> None:
    configs = {topic.name: topic.configs for topic in TOPICS}
    assert configs[STATUS_TOPIC] == configs[GAP_TOPIC] == {"cleanup.policy": "compact"}
    assert configs[RAW_TOPIC] == {"cleanup.policy": "delete", "retention.ms": "604800000"}
