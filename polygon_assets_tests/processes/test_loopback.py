"""Embedded servers listen on loopback; another address is refused unless a person asks for it."""

import os
import subprocess
from pathlib import Path

import pytest

from polygon_assets.local import broker
from polygon_assets.local.launcher.ports import HOST
from polygon_assets.local.launcher.servers import embedded_servers
from polygon_assets.local.loopback import ExposedHostError, refuse_exposed

EVERYWHERE = "0.0.0.0"
PORT = 1


def test_every_server_refuses_an_address_that_other_machines_reach(tmp_path: Path) -> None:
    """The commands are those of the launcher, with another address."""
    started = {
        server.name: subprocess.Popen(
            [EVERYWHERE if part == HOST else part for part in server.command(PORT, tmp_path)],
            env=os.environ | server.variables(PORT) | {"TMPDIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for server in embedded_servers()
        if server.name != "kafka"
    }
    assert set(started) == {"exchange", "clickhouse", "s3", "snowflake", "airbyte"}
    try:
        answers = {name: process.communicate(timeout=60)[1] for name, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
    for name, message in answers.items():
        words = " ".join(message.replace("│", " ").split())
        assert started[name].returncode == 2, (name, message)
        assert "--host '0.0.0.0' can be reached from other machines" in words, (name, message)
        assert "use 127.0.0.1, or add --expose" in words, (name, message)
    with pytest.raises(ExposedHostError, match=r"--host '0\.0\.0\.0'"):
        broker.command(EVERYWHERE, PORT)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.1.4", "fe80::1", "my-laptop"])
def test_an_exposed_address_needs_the_option(host: str) -> None:
    refuse_exposed(host, expose=True)
    with pytest.raises(ExposedHostError, match=f"--host '{host}' can be reached"):
        refuse_exposed(host, expose=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_option(host: str) -> None:
    refuse_exposed(host, expose=False)
