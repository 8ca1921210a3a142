"""Kafka Connect's own runtime, standalone, with a sink of ours that writes lines into a file.

Add a property of the worker here; the stub, which needs no Java, belongs to `connect_stub`.
"""

import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest
import requests

from polygon_assets.local.apache_kafka import node
from polygon_assets.local.apache_kafka.install import installed_jars, java
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.harness import eventually

_FILES = resources.files(__name__)
_DEPLOYED = Path(__file__).parents[3] / "deploy" / "connect"
USER, PASSWORD = "operator", "planted-rest-password-77c1"
"""The login of the REST API."""
_STOP_SECONDS = 30


@contextmanager
def connect_runtime(settings: Settings, folder: Path, variables: dict[str, str]) -> Iterator[str]:
    """A worker of Kafka Connect at the settings' broker; yields the address of its REST API.

    `variables` are added to its environment. Skips the test without a Java compiler.
    """
    port = free_port(0, set())
    jars = installed_jars(_FILES)
    file = folder / "worker.properties"
    file.write_text("\n".join(_properties(settings, port, folder, _plugin(folder, jars))))
    main = "org.apache.kafka.connect.cli.ConnectStandalone"
    command = [java(), *node.MEMORY, *_login(folder), "-cp", f"{jars}/*", main, str(file)]
    url = f"http://{HOST}:{port}"
    with (
        (folder / "connect.log").open("w") as log,
        subprocess.Popen(
            command, env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT
        ) as worker,
    ):
        try:
            eventually(lambda: worker.poll() is not None or _answers(url), "Connect's REST API")
            assert worker.poll() is None, (folder / "connect.log").read_text()[-3000:]
            yield url
        finally:
            worker.terminate()
            try:
                worker.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/connectors", timeout=3, auth=(USER, PASSWORD)).ok
    except requests.RequestException:
        return False


def _properties(settings: Settings, port: int, folder: Path, plugins: Path) -> list[str]:
    """A standalone worker's properties; the login and what connectors may read are as deployed."""
    own = ("config.providers", "connector.client.config.override.policy", "rest.extension")
    deployed = (_DEPLOYED / "worker.properties").read_text().splitlines()
    return [
        f"bootstrap.servers={settings.kafka_bootstrap_servers}",
        f"listeners=http://{HOST}:{port}",
        f"offset.storage.file.filename={folder / 'offsets'}",
        f"plugin.path={plugins}",
        "key.converter=org.apache.kafka.connect.storage.StringConverter",
        "value.converter=org.apache.kafka.connect.storage.StringConverter",
        "offset.flush.interval.ms=500",
        *(line for line in deployed if line.startswith(own)),
    ]


def _login(folder: Path) -> list[str]:
    """The JVM's options for the login as deployed, with a file of one user."""
    users = folder / "users.properties"
    users.write_text(f"{USER}={PASSWORD}\n")
    users.chmod(0o600)
    rules = _DEPLOYED / "rest_login.conf"
    return [f"-Djava.security.auth.login.config={rules}", f"-Dpolygon.connect.users={users}"]


def _plugin(folder: Path, jars: Path) -> Path:
    """The plugin path, with our sink compiled into it."""
    compiler = shutil.which("javac")
    if compiler is None:
        pytest.skip("needs a Java compiler (javac) for the sink that Connect's jars lack")
    classes, plugins = folder / "classes", folder / "plugins"
    with resources.as_file(_FILES / "LineSink.java") as source:
        command = [compiler, "-cp", f"{jars}/*", "-d", str(classes), str(source)]
        subprocess.run(command, check=True)
    plugins.mkdir()
    with zipfile.ZipFile(plugins / "line-sink.jar", "w") as jar:
        for each in classes.glob("*.class"):
            jar.write(each, each.name)
        jar.writestr("META-INF/services/org.apache.kafka.connect.sink.SinkConnector", "LineSink\n")
    return plugins
