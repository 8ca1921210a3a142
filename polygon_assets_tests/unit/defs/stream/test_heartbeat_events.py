"""Which events a heartbeat becomes, and how often."""

import base64
from dataclasses import dataclass, field
from xml.etree import ElementTree

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
from polygon_assets.defs.stream.trend import Trend
from polygon_assets.messages import Heartbeat, ProgramName

SVG = "{http://www.w3.org/2000/svg}"


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


def hour(**changes: object) -> list[str]:
    """The picture of each materialization of RAW during 70 minutes."""
    log = Log()
    reporter = log.reporter("producer")
    for minute in range(70):
        at = minute * 60_000
        newest = at - 1000 * (minute % 3)
        now = beat(
            "producer", forwarded=minute + 1, sent_at=at, rate=float(minute), newest_event=newest
        )
        reporter.observe(msgspec.structs.replace(now, **changes), 0)
        log.now += 60
    return [
        str(event.metadata["last_hour"].value) if "last_hour" in event.metadata else ""
        for event in log.events
        if isinstance(event, dg.AssetMaterialization) and event.asset_key == RAW
    ]


def drawn(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(base64.b64decode(picture.partition("base64,")[2][:-1]))


def test_the_last_hour_is_a_small_picture_on_each_materialization() -> None:
    pictures = hour(lag=7)
    assert pictures[0] == ""
    assert len(pictures) == 70
    assert max(map(len, pictures)) < 4000, "thousands a day must not fill the event log"
    root = drawn(pictures[-1])
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts == [
        *("events/s", "69", "max 69"),
        *("messages behind", "7", "max 7"),
        *("newest event", "0.0 s old", "max 2"),
    ]
    rates, lags, ages = (path.get("d", "")[1:].split("L") for path in root.iter(f"{SVG}path"))
    assert len(rates) == len(lags) == len(ages) == 61
    assert (rates[0], rates[-1]) == (f"0 {40 - 40 * 9 / 69:.0f}", "480 0")
    assert lags[0].endswith(" 0"), "the largest value is at the top"
    assert [point.split()[1] for point in ages[-3:]] == ["20", "0", "40"]
    assert pictures[-1].startswith("![rate, lag and age of the newest event over the last 60 min](")


def test_a_number_that_is_not_known_has_no_line() -> None:
    root = drawn(hour(lag=None, newest_event=None)[-1])
    assert [text.text for text in root.iter(f"{SVG}text")][0::3] == ["events/s"]


def test_the_table_of_record_shows_the_last_hour_on_its_observations() -> None:
    log = Log()
    reporter = log.reporter("sink")
    for minute in range(3):
        reporter.observe(beat("sink", forwarded=0, sent_at=minute * 60_000), 0)
        log.now += 60
    [*_, last] = log.events
    assert (type(last), last.asset_key) == (dg.AssetObservation, STOCK_AGGREGATES)
    assert "last_hour" in last.metadata
    log.now += 60
    reporter.observe(None, 1)
    assert "last_hour" not in log.events[-1].metadata, "it would look healthy"


def test_a_pause_is_a_gap_of_the_line_and_an_hour_is_shown_at_most() -> None:
    trend = Trend()
    for minute in (0, 1, 2, 50, 70):
        trend.take(beat("producer", sent_at=minute * 60_000, rate=1.0))
    [path] = drawn(str(trend.picture()["last_hour"].value)).iter(f"{SVG}path")
    assert path.get("d") == "M0 0M480 0"
    for minute in (71, 90):
        trend.take(beat("producer", sent_at=minute * 60_000, rate=1.0))
    [path] = drawn(str(trend.picture()["last_hour"].value)).iter(f"{SVG}path")
    assert path.get("d") == "M0 0M240 0L252 0M480 0"
