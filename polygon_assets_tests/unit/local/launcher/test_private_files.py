"""The folder of the embedded stack's data: its owner's alone, without touching anything else."""

import os
import stat
from pathlib import Path

import pytest

from polygon_assets.local.launcher.private_files import UnusableFolderError, owner_only
from polygon_assets.local.launcher.state import lock


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_looser_folder_of_an_earlier_stack_is_tightened(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    (data / "logs").mkdir(parents=True)
    for file in (data / "stack.lock", data / "logs" / "airbyte.log", outside):
        file.touch()
        file.chmod(0o644)
    (data / "link").symlink_to(outside)
    data.chmod(0o755)
    lock(data).close()
    assert [rights(path) for path in (data, data / "logs")] == [0o700, 0o700]
    assert rights(data / "logs" / "airbyte.log") == 0o600
    assert rights(outside) == 0o644


def test_files_in_a_folder_that_no_stack_has_used_keep_their_rights(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.touch()
    note.chmod(0o644)
    lock(tmp_path).close()
    assert (rights(tmp_path), rights(note)) == (0o700, 0o644)


def test_a_folder_of_everybody_is_refused_unchanged(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(UnusableFolderError, match=r"belongs to everybody.*--data, such as .*/poly"):
        lock(tmp_path)
    assert rights(tmp_path) == 0o1777
    assert list(tmp_path.iterdir()) == []


def test_the_umask_returns_after_the_block(tmp_path: Path) -> None:
    former = os.umask(0o022)
    try:
        with owner_only():
            (tmp_path / "inside").touch()
        (tmp_path / "after").touch()
    finally:
        os.umask(former)
    assert (rights(tmp_path / "inside"), rights(tmp_path / "after")) == (0o600, 0o644)
