"""The pinned files of Apache Kafka and its address, without Java and without a network."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from polygon_assets.local.apache_kafka import __main__ as program
from polygon_assets.local.apache_kafka import install, node
from polygon_assets.local.broker import BrokerError

JARS = {"kafka_2.13-4.4.0.jar": b"broker", "lz4-java-1.10.1.jar": b"lz4"}
SUMS = {name: hashlib.sha256(content).hexdigest() for name, content in JARS.items()}
FETCH = """#!/bin/sh
for argument in "$@"; do
  case "$argument" in -DoutputDirectory=*) folder="${argument#-DoutputDirectory=}" ;; esac
done
mkdir -p "$folder"
"""


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Maven that writes JARS; the cache is empty."""
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    lines = [f'printf {content.decode()} > "$folder/{name}"' for name, content in JARS.items()]
    program.write_text(FETCH + "\n".join(lines))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(install, "expected_sums", lambda _files: SUMS)
    return program


def test_every_jar_is_pinned() -> None:
    sums = install.expected_sums()
    assert "kafka_2.13-4.4.0.jar" in sums
    assert all(len(digest) == 64 for digest in sums.values())


def test_the_jars_are_fetched_once(maven: Path) -> None:
    folder = install.installed_jars()
    assert {jar.name: jar.read_bytes() for jar in folder.iterdir()} == JARS
    maven.unlink()
    assert install.installed_jars() == folder


@pytest.mark.parametrize(
    "line",
    [
        'printf other > "$folder/kafka_2.13-4.4.0.jar"',
        'rm "$folder/lz4-java-1.10.1.jar"',
        'printf more > "$folder/surplus.jar"',
    ],
)
def test_other_files_than_the_pinned_ones_are_refused(maven: Path, line: str) -> None:
    maven.write_text(maven.read_text() + "\n" + line)
    with pytest.raises(BrokerError, match="other files than SHA256SUMS pins"):
        install.installed_jars()
    assert not list((maven.parents[1] / "cache" / "polygon_assets").iterdir())


def test_a_failed_download_shows_mavens_words(maven: Path) -> None:
    maven.write_text("#!/bin/sh\necho 'no such host'; exit 1")
    with pytest.raises(BrokerError, match="no such host"):
        install.installed_jars()


@pytest.mark.usefixtures("maven")
def test_without_maven_or_java_the_error_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BrokerError, match="Maven"):
        install.installed_jars()
    with pytest.raises(BrokerError, match="Java 17 or newer"):
        install.java()


def test_the_broker_listens_on_another_address_only_where_a_person_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every embedded server: processes/test_loopback.py."""
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(node, "become", lambda _path, properties: started.append(properties))

    def run(*options: str) -> None:
        arguments = ["--port", "9092", "--path", str(tmp_path), *options]
        monkeypatch.setattr(sys, "argv", ["apache_kafka", *arguments])
        program.main()

    with pytest.raises(SystemExit) as ended:
        run("--host", "0.0.0.0")
    assert (ended.value.code, started) == (2, [])
    words = " ".join(capsys.readouterr().err.split())
    assert "--host '0.0.0.0' can be reached from other machines" in words
    assert "use 127.0.0.1, or add --expose" in words
    run()
    run("--host", "0.0.0.0", "--expose")
    local, exposed = [str(properties["listeners"]) for properties in started]
    assert "0.0.0.0" not in local
    assert "0.0.0.0" in exposed
