"""The bootstrap names missing parts of a newcomer's machine and rebuilds an unfinished .venv."""

import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from scripts import bootstrap

Usage = namedtuple("Usage", "total used free")


def test_an_old_python_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 10))
    with pytest.raises(
        SystemExit, match=r"Python 3\.11 or newer is needed, this is 3\.8: make PYTHON="
    ):
        bootstrap.check_machine()


def test_a_full_disk_is_reported_with_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**9))
    with pytest.raises(SystemExit, match=r"0\.9 GB are free in .*, 3 GB are needed"):
        bootstrap.check_machine()


def test_a_python_without_venv_names_the_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        bootstrap.make_venv()


def test_an_unfinished_venv_is_installed_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = []
    ready, python = tmp_path / ".ready", tmp_path / "bin" / "python"
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path))
    monkeypatch.setattr(bootstrap, "FORMER", str(tmp_path / "former"))
    monkeypatch.setattr(bootstrap, "READY", str(ready))
    monkeypatch.setattr(bootstrap, "PYTHON", str(python))
    monkeypatch.setattr(bootstrap, "set_aside", lambda: None)
    monkeypatch.setattr(bootstrap, "make_venv", lambda: calls.append("make"))
    monkeypatch.setattr(bootstrap, "install", lambda: calls.append("install"))
    bootstrap.main()
    python.parent.mkdir()
    python.touch()
    bootstrap.main()
    assert calls == ["make", "install"]
    ready.write_text(bootstrap.python_and_folder() + "an older lock")
    bootstrap.main()
    assert calls == ["make", "install", "install"]


@pytest.fixture
def venv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A fake of a complete .venv with two packages, made by another Python."""
    folder = tmp_path / ".venv"
    for name, value in {
        "VENV": folder,
        "FORMER": tmp_path / "former",
        "READY": folder / ".ready",
        "PYTHON": folder / "bin" / "python",
    }.items():
        monkeypatch.setattr(bootstrap, name, str(value))
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    for name in ("one-1.0.dist-info", "two-2.0.dist-info"):
        (folder / "lib" / "python3.11" / "site-packages" / name).mkdir(parents=True)
    return folder


def test_a_venv_that_works_survives_an_installation_that_fails(
    venv: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (venv / ".ready").write_text("another Python")

    def no_network() -> None:
        raise SystemExit("failed: pip install")

    monkeypatch.setattr(bootstrap, "make_venv", venv.mkdir)
    monkeypatch.setattr(bootstrap, "install", no_network)
    with pytest.raises(SystemExit, match="failed: pip install"):
        bootstrap.main()
    assert (venv / ".ready").read_text() == "another Python"
    assert (venv / "bin" / "python").exists()
    assert not Path(bootstrap.FORMER).exists()
    assert "the former .venv is restored" in capsys.readouterr().out


def test_a_package_that_was_removed_is_named_and_installed_again(
    venv: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (venv / ".ready").write_text(
        bootstrap.python_and_folder()
        + bootstrap.locked()
        + bootstrap.PACKAGES
        + bootstrap.packages()
    )
    calls: list[str] = []
    monkeypatch.setattr(bootstrap, "install", lambda: calls.append("install"))
    bootstrap.main()
    assert calls == []
    two = venv / "lib" / "python3.11" / "site-packages" / "two-2.0.dist-info"
    two.rmdir()
    monkeypatch.setattr(bootstrap, "install", two.mkdir)
    bootstrap.main()
    assert "missing from .venv, installing again: two-2.0" in capsys.readouterr().out
    bootstrap.main()
    assert capsys.readouterr().out == ""


def test_the_lock_names_no_index_and_hashes_everything() -> None:
    text = Path(bootstrap.LOCK).read_text()
    assert "://" not in text
    assert "index" not in text.split("==")[0]
    packages = [block for block in text.split("\n") if "==" in block and not block.startswith(" ")]
    assert len(packages) > 100
    assert all(line.endswith("\\") for line in packages)
    assert bootstrap.locked_block("uv").startswith("uv==")
    assert "--hash=sha256:" in bootstrap.locked_block("uv")
