"""`make superset`: a Superset with our dashboards on the stack that runs in this folder.

Add a step of its installation here; what the dashboards show belongs to `deploy/superset/export`.
"""

import io
import os
import secrets
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from polygon_assets.local.launcher.ports import HOST, answers, free_port
from polygon_assets.local.launcher.process import Process
from polygon_assets.local.launcher.state import StackNotRunningError, read_environment
from polygon_assets.settings import Settings

PROJECT = Path(__file__).parents[1]
FOLDER = PROJECT / "deploy" / "superset"
BINARIES = PROJECT / ".venv-superset" / "bin"
DATA = PROJECT / ".local"
USER = "admin"
PORT = 8088
START_SECONDS, STOP_SECONDS = 120.0, 10.0


@dataclass(frozen=True)
class Database:
    """How Superset reaches one of the two databases."""

    uri: str
    connect_args: Mapping[str, object]


def databases(settings: Settings) -> dict[str, Database]:
    """By the name that the export gives them."""
    clickhouse_login = _login(
        settings.clickhouse_user, settings.clickhouse_password.get_secret_value()
    )
    snowflake_login = _login(
        settings.snowflake_user, settings.snowflake_password.get_secret_value()
    )
    host = f"{settings.clickhouse_host}:{settings.clickhouse_port}"
    secure = str(settings.clickhouse_secure).lower()
    server: dict[str, object] = (
        {
            "host": settings.snowflake_host,
            "port": settings.snowflake_port,
            "protocol": settings.snowflake_protocol,
        }
        if settings.snowflake_host
        else {}
    )
    return {
        "ClickHouse": Database(
            f"clickhousedb://{clickhouse_login}@{host}/market?secure={secure}", {}
        ),
        "Snowflake": Database(
            f"snowflake://{snowflake_login}@{settings.snowflake_account}"
            f"/{settings.snowflake_database}/MARTS",
            server,
        ),
    }


def export(targets: Mapping[str, Database]) -> bytes:
    """The export as the zip file that Superset imports, leading to these databases."""
    buffer = io.BytesIO()
    root = FOLDER / "export"
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*.yaml")):
            content = path.read_text()
            if path.parent.name == "databases":
                content = _pointed_at(yaml.safe_load(content), targets)
            if path.name == "metadata.yaml":
                # This type replaces everything; Superset's page imports the type of the export.
                content = yaml.safe_dump({**yaml.safe_load(content), "type": "assets"})
            archive.writestr(f"polygon_assets/{path.relative_to(root)}", content)
    return buffer.getvalue()


def _pointed_at(database: dict[str, Any], targets: Mapping[str, Database]) -> str:
    target = targets[database["database_name"]]
    database["sqlalchemy_uri"] = target.uri
    database["extra"]["engine_params"] = {"connect_args": dict(target.connect_args)}
    return yaml.safe_dump(database, sort_keys=False)


def _login(user: str, password: str) -> str:
    return f"{quote(user, safe='')}:{quote(password, safe='')}"


class Superset:
    """A Superset whose storage is `home`; only its owner can read there."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._home = home
        self.password = self._kept("password", secrets.token_urlsafe(9))
        self._variables = {
            "SUPERSET_HOME": str(home),
            "SUPERSET_CONFIG_PATH": str(FOLDER / "superset_config.py"),
            "SUPERSET_SECRET_KEY": self._kept("secret_key", secrets.token_urlsafe(42)),
            "SUPERSET_ADMIN_PASSWORD": self.password,
            "FLASK_APP": "superset",
        }

    def prepare(self, targets: Mapping[str, Database]) -> None:
        """Create or upgrade its storage, and put the dashboards in place of earlier ones."""
        self._run([BINARIES / "superset", "db", "upgrade"])
        self._run([BINARIES / "superset", "init"])
        self._run([BINARIES / "python", FOLDER / "prepare.py"], export(targets))

    @contextmanager
    def running(self, port: int) -> Iterator[None]:
        """The web server, which answers and logs to `superset.log`; ends with the block.

        Raises RuntimeError when it does not answer in time.
        """
        command = [str(BINARIES / "superset"), "run", "--host", HOST, "--port", str(port)]
        process = Process(
            [*command, "--with-threads"], self._variables, self._home / "superset.log"
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not answers(port, "/health"):
                if process.exit_code is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Superset does not answer:\n{process.last_lines()}")
                time.sleep(0.5)
            yield
        finally:
            process.stop(STOP_SECONDS)

    def _run(self, command: Sequence[str | Path], given: bytes | None = None) -> None:
        """Raises RuntimeError with the end of the output."""
        done = subprocess.run(
            list(map(str, command)),
            env=os.environ | self._variables,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            shown = done.stdout[-3000:].decode(errors="replace")
            raise RuntimeError(f"{command[0]} {command[1]} failed:\n{shown}")

    def _kept(self, name: str, new: str) -> str:
        """A secret that stays the same for this storage."""
        path = self._home / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(new)
        return path.read_text()


def main() -> None:
    try:
        variables = read_environment(DATA)
    except StackNotRunningError as error:
        sys.exit(str(error))
    settings = Settings.model_validate({name.lower(): text for name, text in variables.items()})
    superset = Superset(DATA / "superset")
    print("preparing Superset and importing the dashboards (about two minutes the first time)")
    superset.prepare(databases(settings))
    port = free_port(PORT, set())
    with suppress(KeyboardInterrupt), superset.running(port):
        print(f"dashboards: http://{HOST}:{port}/dashboard/list/")
        print(f"user {USER}, password {superset.password}")
        print("Ctrl-C stops it")
        signal.pause()


if __name__ == "__main__":
    main()
