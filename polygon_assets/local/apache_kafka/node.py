"""The one node of Apache Kafka: its properties, the format of its folder, and its process.

Add a broker property here; how the files are installed belongs to `install`.
"""

import os
import subprocess
import sys
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from polygon_assets.local.apache_kafka.install import installed_jars, java
from polygon_assets.local.launcher.ports import free_port

MEMORY = ("-Xmx256m", "-XX:+UseSerialGC")
"""330 to 390 MB resident."""


def become(path: Path, properties: Mapping[str, object]) -> NoReturn:
    """Replace this process by the broker, so that signals reach it; its data outlive it.

    Raises BrokerError where Java or the files are missing.
    """
    path.mkdir(parents=True, exist_ok=True)
    file = path / "server.properties"
    file.write_text("\n".join(f"{key}={value}" for key, value in properties.items()))
    # Java itself does not read TMPDIR.
    temporary = f"-Djava.io.tmpdir={tempfile.gettempdir()}"
    runtime = [java(), temporary, "-cp", f"{installed_jars()}/*"]
    if not (path / "log" / "meta.properties").exists():
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # In one argument: one id in 64 begins with a hyphen.
        format_ = ["format", f"--cluster-id={cluster}", "-c", str(file)]
        subprocess.run([*runtime, "kafka.tools.StorageTool", *format_], check=True)
    command = [*runtime, *MEMORY, "kafka.Kafka", str(file)]
    sys.stdout.flush()
    os.execv(command[0], command)


def properties(host: str, port: int, path: Path) -> dict[str, object]:
    """The properties of a broker that is its own controller, with its data in `path`."""
    controller = free_port(0, {port})
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{host}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": path / "log",
        "auto.create.topics.enable": "false",
        # One node: nothing can have a second copy.
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "offsets.topic.num.partitions": 1,
        # Twice as long as the raw messages: see docs/kafka.md.
        "offsets.retention.minutes": 20_160,
        "group.initial.rebalance.delay.ms": 0,
    }
