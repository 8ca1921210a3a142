"""`python -m polygon_assets.local.apache_kafka`: one broker of Apache Kafka as a process.

Add a broker property here. The process becomes Java's, so that signals reach the broker; its data
outlive it.
"""

import argparse
import os
import subprocess
import sys
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from polygon_assets.local import loopback
from polygon_assets.local.apache_kafka.install import installed_jars, java
from polygon_assets.local.broker import BrokerError
from polygon_assets.local.launcher.ports import free_port

MEMORY = ("-Xmx256m", "-XX:+UseSerialGC")
"""330 to 390 MB resident."""


def main() -> None:
    """Run a broker that is its own controller, with its data in --path."""
    options = _options()
    host, port, path = options.host, options.port, options.path
    path.mkdir(parents=True, exist_ok=True)
    properties = path / "server.properties"
    controller = free_port(0, {port})
    properties.write_text(
        "\n".join(f"{key}={value}" for key, value in _properties(host, port, controller, path))
    )
    try:
        runtime = [java(), "-cp", f"{installed_jars()}/*"]
    except BrokerError as error:
        sys.exit(str(error))
    if not (path / "log" / "meta.properties").exists():
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        format_ = ["format", "-t", cluster, "-c", str(properties)]
        subprocess.run([*runtime, "kafka.tools.StorageTool", *format_], check=True)
    command = [*runtime, *MEMORY, "kafka.Kafka", str(properties)]
    sys.stdout.flush()
    os.execv(command[0], command)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m polygon_assets.local.apache_kafka")
    loopback.add_host_options(parser)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--path", required=True, type=Path, help="folder of the data")
    return loopback.parse(parser)


def _properties(host: str, port: int, controller: int, path: Path) -> list[tuple[str, object]]:
    return [
        ("process.roles", "broker,controller"),
        ("node.id", 1),
        ("controller.quorum.voters", f"1@{host}:{controller}"),
        ("controller.listener.names", "CONTROLLER"),
        ("listeners", f"PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}"),
        ("advertised.listeners", f"PLAINTEXT://{host}:{port}"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("log.dirs", path / "log"),
        ("auto.create.topics.enable", "false"),
        # One node: nothing can have a second copy.
        ("offsets.topic.replication.factor", 1),
        ("transaction.state.log.replication.factor", 1),
        ("transaction.state.log.min.isr", 1),
        ("share.coordinator.state.topic.replication.factor", 1),
        ("share.coordinator.state.topic.min.isr", 1),
        ("offsets.topic.num.partitions", 1),
        ("group.initial.rebalance.delay.ms", 0),
    ]


if __name__ == "__main__":
    main()
