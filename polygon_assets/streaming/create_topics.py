"""Creates the topics that `topics` declares.

How a topic is created belongs here; its partitions and retention belong to `topics`, and changing
one that exists to `provisioning.topic_plan`.
"""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from polygon_assets.clients import kafka_access
from polygon_assets.clients.kafka import connect_admin
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import missing_topics
from polygon_assets.settings import Settings
from polygon_assets.topics import Topic, declared

BROKERS_CHOICE = -1
_NO_ERROR, _TOPIC_ALREADY_EXISTS = 0, 36


class TopicError(PolygonAssetsError):
    """The broker refused to create a topic, or cannot be reached; the message names the cause."""


def create_missing_topics(settings: Settings, replication_factor: int = 0) -> list[str]:
    """Create each topic that does not exist yet; returns their names. Raises TopicError.

    `replication_factor` 0 means KAFKA_REPLICATION_FACTOR. A topic that exists stays as it is: its
    partitions and retention may have been changed on purpose.
    """
    from kafka.errors import KafkaError

    try:
        missing = missing_topics(settings)
        if missing:
            topics = [topic for topic in declared(settings) if topic.name in missing]
            create(settings, topics, replication_factor or settings.kafka_replication_factor)
    except KafkaUnreachableError as error:
        raise TopicError(str(error)) from error
    except KafkaError as error:
        servers = settings.kafka_bootstrap_servers
        raise TopicError(f"Kafka at {servers}: {error!r}") from error
    return missing


def create(settings: Settings, topics: Sequence[Topic], replication_factor: int) -> None:
    """Create topics, and return once each can be used; 0 is the brokers' replication factor.

    Raises TopicError and kafka.errors.KafkaError.
    """
    wanted = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": replication_factor or BROKERS_CHOICE,
            "configs": topic.configs,
        }
        for topic in topics
    }
    with closing(connect_admin(settings)) as admin:
        answer = admin.create_topics(wanted, raise_errors=False)
        # Before the wait, which would end in a time-out that hides the broker's reason.
        for topic in answer["topics"]:
            _raise_refusal(settings, topic)
        admin.wait_for_topics(list(wanted))


def _raise_refusal(settings: Settings, topic: dict[str, Any]) -> None:
    code, name = topic["error_code"], topic["name"]
    if code in kafka_access.MISSING_RIGHTS:
        raise TopicError(kafka_access.missing_right(settings, code, "CREATE", name))
    if code not in (_NO_ERROR, _TOPIC_ALREADY_EXISTS):
        raise TopicError(f"the broker did not create topic {name}: {topic['error_message']}")
