"""Creates the topics that `topics.TOPICS` declares.

How a topic is created belongs here; its partitions and retention belong to `topics`.
"""

from collections.abc import Collection
from typing import Any

from polygon_assets.clients.kafka import connect_admin
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import missing_topics
from polygon_assets.settings import Settings
from polygon_assets.topics import TOPICS

BROKERS_CHOICE = -1
_NO_ERROR, _TOPIC_ALREADY_EXISTS = 0, 36


class TopicError(PolygonAssetsError):
    """The broker refused to create a topic, or cannot be reached; the message names the cause."""


def create_missing_topics(
    settings: Settings, replication_factor: int = BROKERS_CHOICE
) -> list[str]:
    """Create each topic that does not exist yet; returns their names. Raises TopicError.

    A topic that exists stays as it is: its partitions and retention may have been changed on
    purpose.
    """
    from kafka.errors import KafkaError

    try:
        missing = missing_topics(settings)
        answer = _create(settings, missing, replication_factor) if missing else {"topics": []}
    except KafkaUnreachableError as error:
        raise TopicError(str(error)) from error
    except KafkaError as error:
        servers = settings.kafka_bootstrap_servers
        raise TopicError(f"Kafka at {servers}: {error!r}") from error
    for topic in answer["topics"]:
        if topic["error_code"] not in (_NO_ERROR, _TOPIC_ALREADY_EXISTS):
            reason = topic["error_message"]
            raise TopicError(f"the broker did not create topic {topic['name']}: {reason}")
    return missing


def _create(
    settings: Settings, names: Collection[str], replication_factor: int
) -> dict[str, list[dict[str, Any]]]:
    wanted = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": replication_factor,
            "configs": topic.configs,
        }
        for topic in TOPICS
        if topic.name in names
    }
    admin = connect_admin(settings)
    try:
        answer: dict[str, list[dict[str, Any]]] = admin.create_topics(
            wanted, raise_errors=False, wait_for_metadata=True
        )
        return answer
    finally:
        admin.close()
