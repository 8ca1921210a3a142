"""What a fill counts and says of itself; what it stores belongs to processes/test_gap_filling."""

import datetime as dt
from dataclasses import dataclass, field, replace

import pytest
from pydantic import SecretStr

from polygon_assets.clients import clickhouse, kafka
from polygon_assets.gap_filling import fill
from polygon_assets.gap_filling.fill import (
    Chunk,
    GapFillError,
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


class Broker:
    """Stands for Kafka and remembers how many rows each portion had."""

    def __init__(self) -> None:
        self.portions, self._rows = list[int](), 0

    def produce(self, *_: object) -> None:
        self._rows += 1

    def flush(self, _seconds: float) -> int:
        self.portions.append(self._rows)
        self._rows = 0
        return 0


class Waiting:
    """So many messages wait for filter and sink, from one look to the next; the last one stays."""

    def __init__(self, *messages: int) -> None:
        self._messages = list(messages)

    def messages(self) -> int:
        return self._messages.pop(0) if len(self._messages) > 1 else self._messages[0]


@dataclass
class Clock:
    """A clock that only a pause moves."""

    now: float = 100.0
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def publish(monkeypatch: pytest.MonkeyPatch, backlog: Waiting) -> tuple[Broker, Clock]:
    """Publish 250 rows, 1,000 a second at most, while so many messages wait."""
    broker, clock = Broker(), Clock()
    monkeypatch.setattr(kafka, "connect_producer", lambda _: broker)
    monkeypatch.setattr(clickhouse, "connect", lambda _: None)
    monkeypatch.setattr(fill, "Backlog", lambda _: backlog)
    settings = Settings(polygon_api_key=SecretStr("key"), gap_fill_rows_per_second=1_000)
    filler = fill.GapFiller(settings, lambda _: None)
    monkeypatch.setattr(fill, "time", clock)
    filler._publish(Differences([bar(SINCE)] * 200, [bar(SINCE)] * 50))
    return broker, clock


def test_rows_are_published_in_portions_of_a_tenth_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, clock = publish(monkeypatch, Waiting(1_000))
    assert broker.portions == [100, 100, 50]
    assert clock.pauses == pytest.approx([0.1, 0.1, 0.1])


def test_a_fill_waits_while_live_rows_wait_for_filter_and_sink(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, clock = publish(monkeypatch, Waiting(5_000, 1_001, 1_000))
    assert broker.portions == [100, 100, 50]
    assert len(clock.pauses) == 2 + 3


def test_a_fill_gives_up_where_filter_or_sink_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GapFillError, match="1,001 messages have waited for filter and sink"):
        publish(monkeypatch, Waiting(1_001))


def test_the_progress_is_a_bar_with_numbers() -> None:
    assert progress(26, 104) == "[#####···············] 25 % (26 of 104 symbols)"
    assert progress(1, 1) == "[####################] 100 % (1 of 1 symbols)"
