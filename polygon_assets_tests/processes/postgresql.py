"""A PostgreSQL server with TLS and a password, on a free port, with its data in a temporary folder.

Add a question to the database here; what Dagster stores in it belongs to the tests.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets_tests.certificates import make_authority
from polygon_assets_tests.processes.harness import eventually

DEBIAN = Path("/usr/lib/postgresql")
"""Debian keeps the programs of each version in a folder below, and off the PATH."""
USER, PASSWORD, DATABASE = "dagster", "a password of the test", "postgres"


def program(name: str) -> str:
    """The path of a PostgreSQL program. Without one, CI fails and others skip the test."""
    found = shutil.which(name) or max(map(str, DEBIAN.glob(f"*/bin/{name}")), default="")
    if not found:
        reason = f"no {name}: install Debian's package postgresql"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return found


@contextmanager
def running_postgresql() -> Iterator[Mapping[str, str]]:
    """A running server; yields the variables that deploy/dagster.yaml reads."""
    initdb, server = program("initdb"), program("postgres")
    # Below /tmp: the server refuses to run as root, and other users cannot enter pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    try:
        authority = make_authority(folder)
        authority.server.chmod(0o600)
        (folder / "password").write_text(PASSWORD)
        as_whom = _without_root(folder)
        data, port = folder / "data", free_port(0, set())
        login = ["--username", USER, "--pwfile", str(folder / "password"), "--auth=scram-sha-256"]
        subprocess.run(
            [initdb, "--pgdata", data, "--no-sync", *login],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            **as_whom,
        )
        options = _server_options(port, folder, authority.server)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [server, "-D", data, *options], cwd=folder, stdout=log, stderr=log, **as_whom
            )
        try:
            eventually(
                lambda: "ready to accept" in (folder / "log").read_text(), "PostgreSQL starts", 60
            )
            yield {
                "DAGSTER_POSTGRES_HOST": HOST,
                "DAGSTER_POSTGRES_PORT": str(port),
                "DAGSTER_POSTGRES_USERNAME": USER,
                "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
                "DAGSTER_POSTGRES_DB": DATABASE,
                "PGSSLMODE": "verify-full",
                "PGSSLROOTCERT": str(authority.bundle),
            }
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder)


def _server_options(port: int, folder: Path, certificate: Path) -> list[str]:
    """TLS on a port of 127.0.0.1, and no waiting for the disk."""
    options = {
        "listen_addresses": HOST,
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "off",
        "ssl": "on",
        "ssl_cert_file": certificate,
        "ssl_key_file": certificate,
    }
    return [word for name, value in options.items() for word in ("-c", f"{name}={value}")]


def _without_root(folder: Path) -> dict[str, Any]:
    """How a process is started that may not be root; the folder and its files become its own."""
    if os.geteuid() != 0:
        return {}
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, "nobody", "nogroup")
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}
