"""What a fill counts and says of itself; what it stores belongs to processes/test_gap_filling."""

import datetime as dt
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pydantic import SecretStr

from polygon_assets.clients import clickhouse
from polygon_assets.gap_filling import fill
from polygon_assets.gap_filling.fill import (
    Chunk,
    Outcome,
    Rows,
    chunk_size,
    progress,
)
from polygon_assets.gap_filling.rest_seconds import Differences
from polygon_assets.market_calendar import REVISION_WINDOW
from polygon_assets.messages import RawAggregate
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.streaming.samples import raw_aggregate

SINCE = dt.datetime(2026, 11, 27, 15, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)


def bar(start: dt.datetime) -> RawAggregate:
    return raw_aggregate(start_timestamp=ms(start))


def test_each_gap_counts_its_seconds_and_a_change_counts_for_the_gap_that_ends_first() -> None:
    first = GapEntry("first", SINCE, SINCE + 10 * SECOND, "crash")
    last = replace(first, gap_id="last", since=SINCE + 60 * SECOND, until=SINCE + 70 * SECOND)
    before, in_both, only_last = SINCE - REVISION_WINDOW, SINCE + 5 * SECOND, SINCE + 65 * SECOND
    moments = [before, in_both, first.until, only_last, last.until]
    outcome = Outcome([last, first])
    outcome.take(
        Chunk(
            1,
            list(map(ms, moments)),
            Differences([bar(in_both), bar(only_last)], [bar(before)]),
            {},
        )
    )
    assert outcome.rows == {
        "first": Rows(found=2, added=1, corrected=1),
        "last": Rows(found=3, added=1, corrected=0),
    }


def test_fewer_symbols_of_a_longer_gap_are_fetched_together() -> None:
    assert chunk_size(dt.timedelta(minutes=20)) == 100
    assert chunk_size(dt.timedelta(hours=5)) == 11
    assert chunk_size(dt.timedelta(days=30)) == 1


def test_a_fill_leaves_the_processor_to_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, whose niceness ends with it where the user may not lower it again."""

    def nicenesses() -> tuple[int, int, int]:
        seen = []

        def chunks(*_: object) -> Iterator[Chunk]:
            seen.append(os.getpriority(os.PRIO_PROCESS, 0))
            yield Chunk(1, [], Differences([], []), {})

        monkeypatch.setattr(clickhouse, "connect", lambda _: None)
        monkeypatch.setattr(fill.GapFiller, "scope", lambda *_: fill.Scope(("A.X",), ["X"]))
        monkeypatch.setattr(fill.GapFiller, "_chunks", chunks)
        filler = fill.GapFiller(Settings(polygon_api_key=SecretStr("key")), lambda _: None)
        before = os.getpriority(os.PRIO_PROCESS, 0)
        filler.fill(GapEntry("g", SINCE, SINCE + 10 * SECOND, "crash"), SINCE)
        return before, seen[0], os.getpriority(os.PRIO_PROCESS, 0)

    with ThreadPoolExecutor(1) as threads:
        before, within, after = threads.submit(nicenesses).result()
    assert within == max(before, fill.NICENESS)
    assert after in (before, fill.NICENESS)


def test_the_progress_is_a_bar_with_numbers() -> None:
    assert progress(26, 104) == "[#####···············] 25 % (26 of 104 symbols)"
    assert progress(1, 1) == "[####################] 100 % (1 of 1 symbols)"
