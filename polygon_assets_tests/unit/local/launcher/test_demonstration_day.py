"""When a demonstration is delivered: into a new folder, and again where it was interrupted."""

from pathlib import Path

from polygon_assets.local.launcher.demonstration_day import is_due


def test_a_new_folder_gets_a_demonstration(tmp_path: Path) -> None:
    assert is_due(tmp_path)
    assert is_due(tmp_path / "does not exist")


def test_a_folder_with_data_gets_none_unless_one_was_interrupted(tmp_path: Path) -> None:
    (tmp_path / "clickhouse").mkdir()
    assert not is_due(tmp_path)
    (tmp_path / "demonstration.begun").write_text("2026-11-20")
    assert is_due(tmp_path)
    (tmp_path / "demonstration.begun").rename(tmp_path / "demonstration.done")
    assert not is_due(tmp_path)
