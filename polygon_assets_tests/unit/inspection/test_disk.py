"""Free space: a warning in status, doctor and the terminal before the disk is full."""

import datetime as dt
from pathlib import Path

import pytest

from polygon_assets.inspection import doctor, status
from polygon_assets.inspection.disk import free_bytes, scarcity
from polygon_assets.local.launcher import revival
from polygon_assets.local.launcher.private_files import UnusableFolderError
from polygon_assets.local.launcher.revival import Revival
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.local.launcher.state import lock
from polygon_assets.settings import Settings

WANTED = Settings().alert_disk_free_bytes
NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
NOWHERE = Settings(
    polygon_websocket_url="ws://127.0.0.1:1", aws_endpoint_url_s3="http://127.0.0.1:1"
)


def test_the_folder_need_not_exist_yet(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.5)


def test_scarce_space_is_a_sentence_with_numbers_folder_and_cure(tmp_path: Path) -> None:
    assert scarcity(str(tmp_path), WANTED, WANTED) == ""
    assert scarcity(str(tmp_path), 500_000_000, WANTED).startswith(
        f"0.47 GiB are free for {tmp_path}, 2.00 GiB (ALERT_DISK_FREE_BYTES) should be: free some"
    )


def test_status_and_doctor_report_scarce_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "free_bytes", lambda _: 1_000_000)
    facts = status.Status(NOWHERE, tmp_path, lambda: {"kafka": 2}).facts(NOW)
    assert facts["disk"] == {
        "free_bytes": 1_000_000,
        "wanted_bytes": WANTED,
        "folder": str(tmp_path),
    }
    assert any(problem.startswith("0.00 GiB are free") for problem in facts["problems"])
    assert facts["services"]["kafka"]["restarts"] == 2
    finding = doctor._disk(tmp_path, 1_000_000, WANTED)
    assert not finding.ok
    assert "make clean" in finding.cure


def test_the_terminal_gets_one_warning_and_one_all_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, lines, now = [1_000_000], list[str](), [0.0]
    monkeypatch.setattr(revival, "free_bytes", lambda _: free[0])
    check = Revival(Stack(tmp_path, []), lines.append, lambda: now[0]).check
    for free_now in (1_000_000, 1_000_000, WANTED, WANTED):
        free[0] = free_now
        check()
        now[0] += revival.CHECK_SECONDS
    assert [line.partition(" for ")[0] for line in lines] == [
        "0.00 GiB are free",
        "there is enough free space again",
    ]


def test_a_folder_that_cannot_be_written_is_named_with_the_cure(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(
        UnusableFolderError, match=r"file/data cannot be written \(Not a directory\): .*--data"
    ):
        lock(file / "data")
