"""What a newcomer's machine may lack is said in a sentence, and a half-made .venv is made anew."""

import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from scripts import bootstrap

Usage = namedtuple("Usage", "total used free")


def test_an_old_python_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 10))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed, this is 3\.8: make PYTHON="):
        bootstrap.check_machine()


def test_a_full_disk_is_said_with_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**9))
    with pytest.raises(SystemExit, match=r"0\.9 GB are free in .*, 3 GB are needed"):
        bootstrap.check_machine()


def test_a_python_without_venv_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        bootstrap.make_venv()


def test_a_half_made_venv_does_not_count_as_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []
    ready, python = tmp_path / ".ready", tmp_path / "bin" / "python"
    monkeypatch.setattr(bootstrap, "READY", str(ready))
    monkeypatch.setattr(bootstrap, "PYTHON", str(python))
    monkeypatch.setattr(bootstrap, "make_venv", lambda: calls.append("make"))
    monkeypatch.setattr(bootstrap, "install", lambda: calls.append("install"))
    bootstrap.main()
    python.parent.mkdir()
    python.touch()
    bootstrap.main()
    assert calls == ["make", "install"]
    ready.write_text(bootstrap.maker() + "an older lock")
    bootstrap.main()
    assert calls == ["make", "install", "install"]


def test_the_lock_names_no_index_and_hashes_everything() -> None:
    text = Path(bootstrap.LOCK).read_text()
    assert "://" not in text
    assert "index" not in text.split("==")[0]
    packages = [block for block in text.split("\n") if "==" in block and not block.startswith(" ")]
    assert len(packages) > 100
    assert all(line.endswith("\\") for line in packages)
    assert bootstrap.locked_block("uv").startswith("uv==")
    assert "--hash=sha256:" in bootstrap.locked_block("uv")
