"""`python -m polygon_assets.local.apache_kafka`: one broker of Apache Kafka as a process.

Add a broker property here. The process becomes Java's, so that signals reach the broker; its data
outlive it.
"""

import os
import subprocess
import sys
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

import click

from polygon_assets.local.apache_kafka.install import installed_jars, java
from polygon_assets.local.broker import BrokerError
from polygon_assets.local.launcher.ports import free_port

MEMORY = ("-Xmx256m", "-XX:+UseSerialGC")
"""330 to 390 MB resident."""


@click.command()
@click.option("--host", required=True)
@click.option("--port", required=True, type=int)
@click.option("--path", required=True, type=click.Path(path_type=Path))
def main(host: str, port: int, path: Path) -> None:
    """Run a broker that is its own controller, with its data in PATH."""
    path.mkdir(parents=True, exist_ok=True)
    properties = path / "server.properties"
    controller = free_port(0, {port})
    properties.write_text(
        "\n".join(f"{key}={value}" for key, value in _properties(host, port, controller, path))
    )
    try:
        runtime = [java(), "-cp", f"{installed_jars()}/*"]
    except BrokerError as error:
        raise click.ClickException(str(error)) from error
    if not (path / "log" / "meta.properties").exists():
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        format_ = ["format", "-t", cluster, "-c", str(properties)]
        subprocess.run([*runtime, "kafka.tools.StorageTool", *format_], check=True)
    command = [*runtime, *MEMORY, "kafka.Kafka", str(properties)]
    sys.stdout.flush()
    os.execv(command[0], command)


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
