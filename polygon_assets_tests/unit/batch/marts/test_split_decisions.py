"""Decisions about contradictory splits: the file, the setting, and an error for each bad line.

Their effect on the marts belongs to processes/test_mart_splits.py.
"""

from pathlib import Path

import pytest

from polygon_assets.batch.marts import split_decisions
from polygon_assets.batch.marts.split_decisions import SplitDecision, read
from polygon_assets.settings import Settings, SettingsError

HEADER = "ticker,execution_date,split_from,split_to,reason\n"


def settings(decisions: str) -> Settings:
    return Settings.model_validate({"split_decisions": decisions})


def test_the_file_in_the_repository_is_valid() -> None:
    assert all(decision.split_from > 0 for decision in read(settings("")))


def test_file_and_setting_are_read_and_the_setting_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "split_decisions.csv"
    file.write_text(HEADER + 'A,2026-11-16,2,3,"the filing, page 2"\n\nB,2026-11-17,1,1,\n')
    monkeypatch.setattr(split_decisions, "FILE", file)
    assert read(settings(" A , 2026-11-16 , 1 , 2 ; C,2026-11-18,10,1")) == [
        SplitDecision("A", "2026-11-16", 1, 2),
        SplitDecision("B", "2026-11-17", 1, 1),
        SplitDecision("C", "2026-11-18", 10, 1),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "A",
        "A,2026-11-16,2",
        "A,16.11.2026,2,3",
        "A,2026-11-16,two,3",
        ",2026-11-16,2,3",
        "A,2026-11-16,0,3",
        "A,2026-11-16,2,nan",
        "A,2026-11-16,2,inf",
    ],
)
def test_a_bad_line_is_named_with_its_place_and_the_cure(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"SPLIT_DECISIONS: .*write TICKER,YYYY-MM-DD"):
        read(settings(line))
    file = tmp_path / "split_decisions.csv"
    file.write_text(f"{HEADER}{line}\n")
    monkeypatch.setattr(split_decisions, "FILE", file)
    with pytest.raises(SettingsError, match=r"split_decisions\.csv, line 2: "):
        read(settings(""))


def test_two_decisions_about_one_split_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(read(settings("A,2026-11-16,1,2;A,2026-11-16,1,2"))) == 1
    with pytest.raises(SettingsError, match=r"SPLIT_DECISIONS: 'A,2026-11-16,1,3' contradicts"):
        read(settings("A,2026-11-16,1,2;A,2026-11-16,1,3"))
    file = tmp_path / "split_decisions.csv"
    file.write_text(f"{HEADER}A,2026-11-16,1,2,\nA,2026-11-16,1,3,\n")
    monkeypatch.setattr(split_decisions, "FILE", file)
    with pytest.raises(SettingsError, match=r"split_decisions\.csv, line 3: .*contradicts"):
        read(settings(""))


@pytest.mark.parametrize("text", ['"' + "x" * 140_000, 'A"\r,x'])
def test_text_that_is_no_csv_is_refused_by_the_settings_name(text: str) -> None:
    with pytest.raises(SettingsError, match=r"SPLIT_DECISIONS: .* is no CSV") as caught:
        read(Settings(split_decisions=text))
    assert len(str(caught.value)) < 1_000
