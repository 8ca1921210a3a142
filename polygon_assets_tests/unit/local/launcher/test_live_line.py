"""The line that `make dev` keeps on the terminal."""

from pathlib import Path

import msgspec
import pytest

from polygon_assets.inspection import ClickHouseUnreachableError, streams, tables
from polygon_assets.local.launcher.live_line import EVERY_SECONDS, LiveLine, summary
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import Heartbeat, clamped_utc
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings

PRODUCER = Heartbeat("producer", "host:1:1", "streaming", 0, 10_000, rate=1234.4)
SINK = Heartbeat("sink", "host:2:1", "streaming", 0, 10_000, lag=12)


def test_rates_lags_and_gaps_are_one_line() -> None:
    beats = {"producer": PRODUCER, "sink": SINK}
    assert summary(beats, 0) == "1,234 events/s · sink 12 behind · no gap"
    assert summary({}, 2) == "no producer · gaps not verified: 2"


def test_the_line_is_read_every_few_seconds_and_ends_with_the_last_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = iter([10.0, 20.0])
    monkeypatch.setattr(
        streams,
        "heartbeats",
        lambda *_: {"producer": msgspec.structs.replace(PRODUCER, rate=next(rates))},
    )
    gap = GapEntry("g", clamped_utc(0), clamped_utc(1), "crash")
    monkeypatch.setattr(tables, "gaps", lambda _: [gap])
    line, reported = LiveLine(Stack(tmp_path, [], fixed_ports=False)), list[str]()
    assert line.text(0.0) == "10 events/s · gaps not verified: 1"
    line.noting_failures(reported.append)("kafka died (exit code -9), starting it again\nmore")
    assert line.text(EVERY_SECONDS - 1) == "10 events/s · gaps not verified: 1"
    assert line.text(EVERY_SECONDS).endswith("kafka died (exit code -9), starting it again")
    assert reported == ["kafka died (exit code -9), starting it again\nmore"]


def test_a_system_that_is_away_is_named_in_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Settings, __: float) -> dict[str, Heartbeat]:
        raise ClickHouseUnreachableError("ClickHouse at 127.0.0.1:1 is away\nmore")

    monkeypatch.setattr(streams, "heartbeats", away)
    text = LiveLine(Stack(tmp_path, [], fixed_ports=False)).text(0.0)
    assert text == "ClickHouse at 127.0.0.1:1 is away"
