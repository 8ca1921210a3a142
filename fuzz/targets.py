"""The inputs of the project, and what must be true of any bytes in their place.

Add an input here, as a function that raises when its promise is broken; a valid sample belongs to
`seeds`, and the running to `engine`.
"""

import base64
import datetime as dt
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from confluent_kafka import Message

from fuzz import seeds
from polygon_assets.batch.marts import split_decisions
from polygon_assets.batch.raw import daily_records
from polygon_assets.clients import polygon_answers
from polygon_assets.clients.polygon_answers import PolygonApiError
from polygon_assets.defs.stream import checks, decisions
from polygon_assets.defs.stream.heartbeat_events import EventReporter
from polygon_assets.defs.stream.heartbeat_recorder import is_kept
from polygon_assets.events import validation, vendor_channels
from polygon_assets.gap_filling import coverage, rest_seconds
from polygon_assets.inspection import gaps, status, streams
from polygon_assets.inspection.copies import as_one
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import (
    LARGEST_INT64,
    UNREADABLE,
    Heartbeat,
    decode_raw,
    encode,
)
from polygon_assets.serving import heartbeat_history
from polygon_assets.settings import Settings, SettingsError, load_settings
from polygon_assets.streaming.dead_letter_loader import to_line
from polygon_assets.streaming.heartbeat import restarts_after, summary
from polygon_assets.streaming.rows import BadRowsError, to_table
from polygon_assets.subscriptions import accept, parse

KNOWN = {"AAPL", "MSFT", "BRK.B"}
CALENDAR = MarketCalendar("24/7")
NOW = dt.datetime.fromtimestamp(seeds.NOW_MS / 1000, dt.UTC)
DEFAULTS = Settings()
DAY = dt.date(2026, 11, 20)
UINT32 = 2**32


class BrokenPromiseError(Exception):
    """An input had an effect that it must not have."""


@dataclass(frozen=True)
class Target:
    """One input: valid samples, and the promise, which raises when it is broken."""

    seeds: Sequence[bytes]
    promise: Callable[[bytes], object]


class Record:
    """A Kafka message, as either client hands it over."""

    topic, partition, offset, key = "topic", 1, 2, b"key"

    def __init__(self, value: bytes | None, timestamp: int = 0) -> None:
        self.value, self.timestamp = value, timestamp


class Letter(Record):
    """A message of librdkafka, whose fields are methods."""

    def __init__(self, value: bytes) -> None:
        fields = {"value": value, "partition": 1, "offset": 2}
        for name, content in fields.items():
            setattr(self, name, lambda content=content: content)


def hold(condition: object, promise: str) -> None:
    if not condition:
        raise BrokenPromiseError(promise)


def frames(data: bytes) -> None:
    """Every part is counted once, its bytes are kept, and each reason is told."""
    frame = vendor_channels.read_frame(data)
    parts = len(frame.aggregates) + len(frame.statuses) + len(frame.refused)
    hold(frame.read == parts, "read = forwarded + refused + status")
    hold(all(part.reason for part in frame.refused), "each refusal has a reason")
    hold(all(part.raw in data for part in frame.refused), "the refused bytes are the frame's")
    for event in frame.aggregates:
        judged(encode(vendor_channels.to_raw(event, seeds.RAW.received_at)))


def neighbours(data: bytes) -> None:
    """Whatever one event of a frame is, the events before and after it are read."""
    first, last = (seeds.EVENT.replace(b"SPCE", name) for name in (b"FIRST", b"LAST"))
    frame = vendor_channels.read_frame(b"[" + first + b"," + data + b"," + last + b"]")
    symbols = [event.symbol for event in frame.aggregates]
    hold(symbols[:1] == ["FIRST"] and symbols[-1:] == ["LAST"], "the neighbours are read")


def judged(data: bytes) -> None:
    """The filter refuses a message, or the sink can store what the filter forwards."""
    try:
        event = decode_raw(data)
    except UNREADABLE:
        return
    if reason := validation.refusal_reason(event):
        hold(reason.strip(), "each refusal has a reason")
        return
    hold(to_table([encode(validation.to_row(event))]).num_rows == 1, "a forwarded row is stored")


def filtered(data: bytes) -> None:
    """A message is a row or is refused alone, and the rows around it stay."""
    good = encode(seeds.FILTERED)
    half = len(data) // 2
    for messages in ([good, data, good], [data[:half], good, data[half:]]):
        alone = [_is_row(message) for message in messages]
        try:
            table = to_table(messages)
        except BadRowsError:
            hold(not all(alone), "good rows are not refused")
        else:
            hold(all(alone) and table.num_rows == 3, "a table has a row for each message")


def _is_row(message: bytes) -> bool:
    try:
        return bool(to_table([message]).num_rows == 1)
    except BadRowsError:
        return False


def dead_letters(data: bytes) -> None:
    """Any message becomes one line for the table; what is no letter is kept byte by byte."""
    line = to_line(cast(Message, Letter(data)), seeds.NOW_MS * 1000)
    row = msgspec.json.decode(line)
    hold(b"\n" not in line and row["reason"] is not None, "a letter is one line")
    if row["program"] == "unknown":
        hold(base64.b64decode(row["raw"]) == data, "a stranger's bytes are kept")


def reported_gaps(data: bytes) -> None:
    """Any report becomes an entry that the ledger can store and show."""
    entry = streams.as_gap(cast(Any, Record(data, int.from_bytes(data[:8], "big", signed=True))))
    hold(entry.since <= entry.until, "a gap does not end before it begins")
    hold(entry.is_readable or entry.note, "an unreadable report has a reason")
    hold(0 <= entry.events_dropped <= LARGEST_INT64, "the column holds the number")
    for row in gaps.rows([entry], None, True, NOW):
        row.cells()
    coverage.holes(coverage.Interval(NOW, NOW), [], [], NOW)


def received(data: bytes) -> None:
    """The arrival of any message is a moment."""
    stamp = int.from_bytes(data[:8], "big", signed=True)
    hold(streams.received_at(cast(Any, Record(data, stamp))).tzinfo, "an aware moment")


def heartbeats(data: bytes) -> None:
    """Any heartbeat is skipped, or harms nobody who reads heartbeats."""
    if beat := streams.as_heartbeat(cast(Any, Record(data))):
        _status_and_supervision(beat)
        _stored(beat)


def _status_and_supervision(beat: Heartbeat) -> None:
    status.stream_facts(beat, NOW, DEFAULTS)
    summary(beat)
    restarts_after([beat], seeds.BEAT, CALENDAR)
    gaps.rows([], beat, True, NOW)
    decisions.is_finished(beat.program, [beat], NOW - decisions.LAST_EVENTS, NOW)
    as_one([beat, msgspec.structs.replace(beat, instance="other:1:2")])
    decisions.decide(decisions.StreamFacts(beat.program, (), beat), CALENDAR, NOW)
    events = EventReporter(beat.program, lambda _: None, lambda _: None, lambda: "")
    events.observe(beat, 0)
    beats: dict[str, Heartbeat] = {beat.program: beat}
    checks.judge_channels(beat, NOW)
    checks.judge_freshness(beat, NOW, dt.timedelta(), True)
    checks.judge_clocks(beat, NOW, DEFAULTS)
    checks.judge_refusals(beats, NOW, DEFAULTS)
    checks.judge_account(beats, NOW)
    checks.judge_standby(2, {beat.instance: beat}, NOW)


def _stored(beat: Heartbeat) -> None:
    """The history takes the heartbeat, and the day closer its coverage."""
    is_kept(beat, seeds.BEAT)
    hold(all(0 <= n < UINT32 for n in (beat.desired, beat.confirmed, beat.restarts)), "UInt32")
    hold(all(0 <= n <= LARGEST_INT64 for n in beat.counters.values()), "UInt64")
    hold(heartbeat_history.as_row(beat), "a row")
    session = coverage.Interval(NOW - dt.timedelta(hours=1), NOW + dt.timedelta(hours=1))
    coverage.holes(session, [seeds.BEAT, beat, seeds.BEAT], [], NOW)


def answers(data: bytes) -> None:
    """A reply of REST is read, or refused with the path."""
    with suppress(PolygonApiError):
        content = polygon_answers.answer(data, "/path")
        polygon_answers.next_path(content, "/path", {"/path"})
        bars = polygon_answers.rows(content, "/path")
        for bar in bars:
            with suppress(PolygonApiError):
                judged(encode(rest_seconds.to_raw("AAPL", bar, seeds.RAW.received_at)))


def daily_bars(data: bytes) -> None:
    """A reply with daily bars becomes records that a file can store, or is refused."""

    class Reply:
        """The vendor's client, whose every answer is `data`."""

        def get_grouped_daily_aggs(self, *_: object, **__: object) -> Any:
            return type("Answer", (), {"data": data})

        get_daily_open_close_agg = get_grouped_daily_aggs

        def repeat_while_unusable(self, request: Callable[[], Any]) -> Any:
            return request()

    rest = cast(Any, Reply())
    for read in (daily_records.grouped_daily, _open_close):
        with suppress(PolygonApiError):
            for record in read(rest, DAY):
                encode(record)


def _open_close(rest: Any, day: dt.date) -> list[dict[str, Any]]:
    return daily_records.daily_open_close(rest, day, ["AAPL"])


def csvs(data: bytes) -> None:
    """A CSV gives channels or a reason for each bad line, and keeps the valid line before it."""
    for text in (
        data.decode(errors="replace"),
        "channel\nA.AAPL\n" + data.decode(errors="replace"),
    ):
        parsed = parse(text, KNOWN)
        hold(parsed.channels or parsed.bad_lines, "no silence")
        hold(all(bad.reason and bad.number >= 1 for bad in parsed.bad_lines), "a reason, a line")
        hold({c.partition(".")[2] for c in parsed.channels} <= KNOWN | {"*"}, "only known tickers")
        if not parsed.bad_lines:
            accept(text, parsed.channels, "etag", "now")
    hold("A.AAPL" in parsed.channels, "the valid line stays")


def settings(data: bytes) -> None:
    """Any text in any variable gives settings, or an error that names the variable."""
    names = sorted(Settings.model_fields)
    name = names[data[0] % len(names)] if data else names[0]
    if name not in _TEXTUAL and data[-1:] < b"\x40":
        name = _TEXTUAL[data[-1] % len(_TEXTUAL)] if data else name
    variable = name.upper()
    os.environ[variable] = os.fsdecode(data[1:].replace(b"\0", b""))
    try:
        loaded = load_settings()
        calendar_of(loaded)
        split_decisions.read(loaded)
    except SettingsError as error:
        hold(variable in str(error), f"the error names {variable}")
    finally:
        del os.environ[variable]


_TEXTUAL = ("market_closures", "split_decisions", "market_replay")

TARGETS: dict[str, Target] = {
    "frames": Target(seeds.FRAMES, frames),
    "neighbours": Target((seeds.EVENT, seeds.STATUS), neighbours),
    "raw": Target(seeds.MESSAGES["raw"], judged),
    "filtered": Target(seeds.MESSAGES["filtered"], filtered),
    "dead letters": Target(seeds.MESSAGES["dead letters"], dead_letters),
    "gaps": Target(seeds.MESSAGES["gaps"], reported_gaps),
    "received": Target(seeds.MESSAGES["raw"], received),
    "heartbeats": Target(seeds.MESSAGES["heartbeats"], heartbeats),
    "answers": Target(seeds.ANSWERS, answers),
    "daily bars": Target(seeds.ANSWERS, daily_bars),
    "csvs": Target(seeds.CSVS, csvs),
    "settings": Target(
        [bytes([n]) + text for text in seeds.SETTINGS for n in (0, 70, 140)], settings
    ),
}
