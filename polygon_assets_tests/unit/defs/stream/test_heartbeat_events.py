"""Which events a heartbeat becomes, and how often."""

from dataclasses import dataclass, field

import dagster as dg
import msgspec

from polygon_assets.defs.graph.keys import (
    DEAD_LETTERS,
    FILTERED,
    RAW,
    STOCK_AGGREGATES,
    STOCK_LAST,
    STOCK_RECENT,
    STOCK_VERSIONS,
    WEBSOCKET,
)
from polygon_assets.defs.stream.heartbeat_events import EventReporter
from polygon_assets.messages import Heartbeat, ProgramName


@dataclass
class Log:
    now: float = 1000.0
    events: list[dg.AssetObservation | dg.AssetMaterialization] = field(default_factory=list)

    def reporter(self, program: str) -> EventReporter:
        return EventReporter(
            program,
            self.events.append,
            lambda _text: None,
            lambda: "no broker",
            clock=lambda: self.now,
        )

    def take(self) -> list[tuple[type, dg.AssetKey]]:
        taken = [(type(event), event.asset_key) for event in self.events]
        self.events.clear()
        return taken


def beat(
    program: ProgramName, forwarded: int = 0, detail: str = "", **changes: object
) -> Heartbeat:
    counters = {"read": forwarded + 1, "forwarded": forwarded}
    plain = Heartbeat(program, "host:1:1", "streaming", 0, 10_000, detail, counters=counters)
    return msgspec.structs.replace(plain, **changes)


def test_observations_come_every_thirty_seconds_on_each_asset_of_the_program() -> None:
    log = Log()
    reporter = log.reporter("filter")
    reporter.observe(beat("filter"), 0)
    assert log.take() == [(dg.AssetObservation, FILTERED), (dg.AssetObservation, DEAD_LETTERS)]
    log.now += 29
    reporter.observe(beat("filter"), 0)
    assert log.take() == []
    log.now += 1
    reporter.observe(beat("filter"), 0)
    assert len(log.take()) == 2


def test_a_change_is_shown_within_five_seconds() -> None:
    log = Log()
    reporter = log.reporter("sink")
    reporter.observe(beat("sink"), 0)
    log.take()
    log.now += 4
    reporter.observe(beat("sink", detail="ClickHouse is away"), 0)
    assert log.take() == []
    log.now += 1
    reporter.observe(beat("sink", detail="ClickHouse is away"), 0)
    assert log.take() == [(dg.AssetObservation, STOCK_AGGREGATES)]


def test_a_topic_is_materialized_every_minute_of_progress() -> None:
    log = Log()
    reporter = log.reporter("producer")
    materialized = []
    for minute in range(12):
        reporter.observe(beat("producer", forwarded=min(minute, 7) * 100), 0)
        materialized += [
            minute for kind, key in log.take() if kind is dg.AssetMaterialization and key == RAW
        ]
        log.now += 60
    assert materialized == [1, 2, 3, 4, 5, 6, 7]


def test_a_restarted_program_counts_from_zero_and_is_still_progress() -> None:
    log = Log()
    reporter = log.reporter("producer")
    reporter.observe(beat("producer", forwarded=1000), 0)
    log.take()
    log.now += 300
    again = beat("producer", forwarded=5)
    again.instance = "host:2:2"
    reporter.observe(again, 1)
    assert (dg.AssetMaterialization, RAW) in log.take()


def test_a_heartbeat_materializes_the_copies_but_never_the_table_of_record() -> None:
    log = Log()
    log.reporter("sink").observe(beat("sink", forwarded=1000), 0)
    assert log.take() == [
        (dg.AssetObservation, STOCK_AGGREGATES),
        (dg.AssetMaterialization, STOCK_VERSIONS),
        (dg.AssetMaterialization, STOCK_RECENT),
        (dg.AssetMaterialization, STOCK_LAST),
    ]


def test_the_numbers_are_numbers_so_that_they_are_plotted() -> None:
    log = Log()
    heartbeat = beat(
        "producer",
        7,
        rate=12.5,
        lag=3,
        newest_event=9_000,
        desired=2,
        confirmed=1,
        unconfirmed=["A.X: not found"],
    )
    log.reporter("producer").observe(heartbeat, 2)
    feed = next(event for event in log.events if event.asset_key == WEBSOCKET)
    assert isinstance(feed.metadata["rate_per_second"], dg.FloatMetadataValue)
    numbers = (
        "rate_per_second",
        "lag_messages",
        "newest_event_age_seconds",
        "channels_desired",
        "channels_confirmed",
        "read",
        "restarts",
    )
    assert {name: feed.metadata[name].value for name in numbers} == dict(
        zip(numbers, (12.5, 3, 1.0, 2, 1, 8, 2), strict=True)
    )
    assert feed.metadata["unconfirmed"].value == "* A.X: not found"


def test_without_a_heartbeat_the_reason_is_shown() -> None:
    log = Log()
    log.reporter("sink").observe(None, 0)
    assert log.events[0].metadata["state"].value == "no heartbeat: no broker"
