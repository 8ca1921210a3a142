"""Flink's SQL client with an engine inside its process, as installed by `make .venv-flink/.ready`.

Add a property of the engine here; `pom.xml` has the archives that Flink's package lacks, with their
checksums in `SHA256SUMS`.
"""

import os
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from polygon_assets.local.apache_kafka.install import installed_jars, java

_FILES = resources.files(__name__)
_ENVIRONMENT = Path(__file__).parents[3] / ".venv-flink"
_OPENED = (
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.lang"),
    *("java.lang.reflect", "java.text", "java.time", "java.io", "java.net", "java.nio"),
)
"""Packages of java.base that Flink serializes by reflection, as its own configuration opens."""
_CONFIGURATION = """\
execution.target: local
parallelism.default: 2
table.dml-sync: true
restart-strategy.type: none
"""
RUN_SECONDS = 280


def distribution() -> Path:
    """Flink's folder. Skips the test where it is not installed."""
    found = sorted(_ENVIRONMENT.glob("lib/python3*/site-packages/pyflink"))
    if not found:
        pytest.skip("needs Flink, 298 MB: make .venv-flink/.ready")
    return found[0]


def run(flink: Path, sql: str, folder: Path) -> str:
    """Run statements until the last job has ended; returns what the client printed."""
    (folder / "config.yaml").write_text(_CONFIGURATION)
    script = folder / "job.sql"
    script.write_text(sql)
    jars = ":".join(f"{path}/*" for path in (flink / "lib", flink / "opt", installed_jars(_FILES)))
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    client = ["org.apache.flink.table.client.SqlClient", "embedded", "-f", str(script)]
    answer = subprocess.run(
        [
            *(java(), "-Xmx768m", "-XX:+UseSerialGC", f"-Djava.io.tmpdir={folder}"),
            *(*opened, "-cp", jars, *client),
        ],
        # The client keeps its history in the home folder.
        env=os.environ | {"FLINK_CONF_DIR": str(folder), "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-5000:]
    return answer.stdout
