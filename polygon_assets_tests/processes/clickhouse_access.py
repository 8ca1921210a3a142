"""The embedded ClickHouse with users, roles, profiles and quotas of a configuration file.

chDB stores no user that a statement creates, but it reads those of a file, shows them in its system
tables and enforces their rights: so the engine itself judges a plan and a role.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from polygon_assets.local.clickhouse.engine import CONFIG_FILE
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.provisioning.clickhouse.declaration import Right, Role, SettingLimit
from polygon_assets.settings import Settings

PASSWORD = "secret-of-the-test-7d1f"
PASSWORDS = {"clickhouse_writer_password": "w" * 32, "clickhouse_reader_password": "r" * 32}
_SERVE = """
import sys
from pathlib import Path
from polygon_assets.local.clickhouse import engine
engine.CONFIG_FILE = Path(sys.argv.pop(1))
from polygon_assets.local.clickhouse.__main__ import main
sys.exit(main())
"""
_START_SECONDS = 60


@contextmanager
def serving(data: Path, users: str, more: str = "") -> Iterator[Settings]:
    """A server of the directory with the users file; `more` is added to its configuration."""
    data.mkdir(parents=True, exist_ok=True)
    (data / "users.xml").write_text(f"<clickhouse>{users}</clickhouse>")
    config = CONFIG_FILE.read_text().replace(
        "</clickhouse>", f"<users_config>{data / 'users.xml'}</users_config>{more}</clickhouse>"
    )
    (data / "config.xml").write_text(config)
    port = free_port(0, set())
    arguments = [str(data / "config.xml"), "--port", str(port), "--path", str(data / "tables")]
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, *arguments, "--password", PASSWORD],
    )
    try:
        _wait(process, port)
        yield Settings.model_validate(
            PASSWORDS
            | {
                "clickhouse_host": HOST,
                "clickhouse_port": port,
                "clickhouse_secure": False,
                "clickhouse_password": PASSWORD,
            }
        )
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, "the server has ended"
        try:
            with urlopen(f"http://{HOST}:{port}/ping") as answer:
                assert answer.status == 200
                return
        except OSError:
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)


ADMINISTRATOR = "<access_management>1</access_management>"


def only_default(rights: str, settings: dict[str, SettingLimit] | None = None) -> str:
    """A users file whose one user, `default`, has these rights and settings."""
    return f"<profiles>{profile('default', settings or {})}</profiles>" + (
        f"<users>{_default(rights)}</users><quotas><default/></quotas>"
    )


def _default(rights: str) -> str:
    return (
        "<default><password></password><networks><ip>::/0</ip></networks>"
        f"<profile>default</profile><quota>default</quota>{rights}</default>"
    )


def profile(name: str, settings: dict[str, SettingLimit]) -> str:
    values = "".join(f"<{key}>{limit.value}</{key}>" for key, limit in settings.items())
    limits = "".join(
        f"<{key}><max>{limit.maximum}</max></{key}>"
        for key, limit in settings.items()
        if limit.maximum
    )
    return f"<{name}>{values}<constraints>{limits}</constraints></{name}>"


def quota(name: str, limits: dict[str, int]) -> str:
    values = "".join(f"<{key}>{value}</{key}>" for key, value in limits.items())
    return f"<{name}><interval><duration>3600</duration>{values}</interval></{name}>"


def grants(rights: Sequence[Right]) -> str:
    """Each right as a statement that the engine parses."""
    queries = "".join(
        f"<query>GRANT {right.privilege} ON "
        f"{right.engine or f'{right.database or chr(42)}.{right.table or chr(42)}'}</query>"
        for right in rights
    )
    return f"<grants>{queries}</grants>"


def declared(roles: Sequence[Role]) -> str:
    """A users file that declares what the roles declare, as far as such a file can.

    A role of a file has no profile, and its quota counts a user of the same name.
    """
    profiles = "".join(profile(role.user, dict(role.profile)) for role in roles)
    quotas = "".join(quota(role.user, dict(role.quota)) for role in roles)
    users = "".join(
        f"<{role.user}><password>x</password><quota>{role.user}</quota>"
        f"<grants><query>GRANT {role.name}</query></grants></{role.user}>"
        for role in roles
    )
    role_grants = "".join(f"<{role.name}>{grants(role.rights)}</{role.name}>" for role in roles)
    return (
        f"<profiles><default/>{profiles}</profiles><quotas><default/>{quotas}</quotas>"
        f"<roles>{role_grants}</roles><users>{_default(ADMINISTRATOR)}{users}</users>"
    )
