"""The contract of the Kafka topics: one struct per message, field names as they stand in the JSON.

Only shapes, names and encodings belong here: what makes a message valid is the filter's business,
where it goes is the programs'.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

RAW_TOPIC = "polygon_stream_aggregates"
FILTERED_TOPIC = "custom_filtered_stock_data_topic"
DEAD_LETTER_TOPIC = "polygon_dead_letters"
STATUS_TOPIC = "polygon_stream_status"
GAP_TOPIC = "polygon_stream_gaps"


@dataclass(frozen=True)
class Topic:
    """One topic: how it is created, by the embedded stack and by `polygon-assets migrate`."""

    name: str
    retention_days: int | None
    """None for a compacted topic, which keeps the newest message of each key for ever."""
    partitions: int = 6
    """Enough for parallel consumers, few enough for a small broker."""

    @property
    def configs(self) -> dict[str, str]:
        """The broker's settings of the topic."""
        if self.retention_days is None:
            return {"cleanup.policy": "compact"}
        milliseconds = self.retention_days * 24 * 60 * 60 * 1000
        return {"cleanup.policy": "delete", "retention.ms": str(milliseconds)}


TOPICS = (
    Topic(RAW_TOPIC, retention_days=7),
    Topic(FILTERED_TOPIC, retention_days=7),
    Topic(DEAD_LETTER_TOPIC, retention_days=30),
    Topic(STATUS_TOPIC, retention_days=None),
    Topic(GAP_TOPIC, retention_days=None),
)

FILTER_GROUP = "polygon_filter"
SINK_GROUP = "clickhouse_sink"

ProgramName = Literal["producer", "filter", "sink"]
PROGRAMS: tuple[ProgramName, ...] = get_args(ProgramName)
ProgramState = Literal[
    "starting", "connecting", "streaming", "waiting", "backing_off", "draining", "stopped"
]
Source = Literal["websocket", "rest"]
GapReason = Literal["disconnect", "drop", "crash", "stop", "unreadable"]


class RawAggregate(msgspec.Struct, omit_defaults=True, gc=False):
    """One per-second aggregate in RAW_TOPIC, keyed by symbol, as the vendor sent it.

    Prices in US dollars, volumes in shares, `start_timestamp`/`end_timestamp` in Unix milliseconds (end exclusive),
    `received_at` in Unix microseconds: when this version was first ours. `volume` is the vendor's whole number;
    where fractional shares traded, `decimal_volume` holds the exact decimal and is the one to use.
    """

    event_type: str
    symbol: str
    volume: float | int
    open_price: float
    close_price: float
    high: float
    low: float
    start_timestamp: int
    end_timestamp: int
    received_at: int
    source: Source
    accumulated_volume: float | int | None = None
    official_open_price: float | None = None
    vwap: float | None = None
    aggregate_vwap: float | None = None
    average_size: float | int | None = None
    otc: bool = False
    decimal_volume: str | None = None
    decimal_accumulated_volume: str | None = None


class FilteredAggregate(msgspec.Struct, gc=False):
    """One message of FILTERED_TOPIC, keyed by symbol: exactly one row of `market.stock_aggregates`.

    Volumes are decimal strings of at most 12 digits before and 6 after the point (no float can round them);
    timestamps as in RawAggregate; `readable_timestamp` is the start in UTC, `yyyy-MM-ddTHH:mm:ss.SSSZ`.
    """

    symbol: str
    start_timestamp: int
    end_timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: str
    vwap: float | None
    accumulated_volume: str | None
    official_open_price: float | None
    aggregate_vwap: float | None
    average_size: float | None
    otc: bool
    received_at: int
    source: Source
    readable_timestamp: str


class DeadLetter(msgspec.Struct, omit_defaults=True):
    """What was refused, where and why, with the bytes themselves (base64 in JSON) so that it can be replayed."""

    program: ProgramName
    stage: Literal["frame", "event", "validate", "insert"]
    reason: str
    raw: bytes
    refused_at: int
    """Unix microseconds."""
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    epoch: int | None = None
    """Connection epoch of the producer: Unix milliseconds at which that connection was opened."""
    part: int = 0
    """What is too long for one message is kept in `parts` letters, numbered from 1; 0 for a whole one."""
    parts: int = 0
    sha256: str = ""
    """Of all parts joined, in hexadecimal: which parts belong together, and whether all are there."""


class Gap(msgspec.Struct, omit_defaults=True):
    """An interval in which events may have been missed; Unix milliseconds, `until` excluded. Keyed by `gap_id`."""

    gap_id: str
    reason: GapReason
    since: int
    until: int
    epoch: int
    events_dropped: int = 0
    channels: list[str] = []
    """The channels that were desired, sorted."""


OUTCOMES = ("forwarded", "refused", "status", "unsubscribed", "dropped", "released", "waiting")
"""What becomes of an event that was read: these counters add up to `read` in every heartbeat.

`status` is a message about the connection, `dropped` one that a full queue could not take (a gap),
`released` one that another member of the group reads again, `waiting` one that is still held.
"""


class Heartbeat(msgspec.Struct, omit_defaults=True):
    """What a stream program says of itself once a second in STATUS_TOPIC, keyed by program.

    Times are Unix milliseconds. Counters only grow while the instance lives; a new instance starts at 0.
    """

    program: ProgramName
    instance: str
    """`host:pid:started_at`: changes with each start."""
    state: ProgramState
    started_at: int
    sent_at: int
    detail: str = ""
    """Why the state is what it is, in words."""
    epoch: int = 0
    newest_event: int | None = None
    """Newest `start_timestamp` handed on."""
    newest_received_at: int | None = None
    """When the newest event handed on was received by the producer."""
    complete_until: int | None = None
    """Until when (wall time) nothing can be missing: now, while a producer's channels carry data; the moment of the loss during one."""
    rate: float = 0.0
    """Events handed on per second, over the last 10 s."""
    lag: int | None = None
    """Messages not yet processed in the topic read; events queued for the producer."""
    counters: dict[str, int] = {}
    """Of messages or events: read, and what became of them (OUTCOMES); also reconnects, retries, gaps."""
    restarts: int = 0
    """How often the program was started again on this trading day."""
    recent_read: int = 0
    """Of `read`, over the last five minutes."""
    recent_refused: int = 0
    """Of `refused`, over the last five minutes."""
    last_refusal: str = ""
    """The reason of the newest refusal."""
    arrival_delay_ms: int | None = None
    """From the end of a second to the arrival of its bar, the median of the last frames. Below 0 the
    vendor's clock is ahead of ours. None while replayed events arrive, whose delay means nothing."""
    desired: int = 0
    confirmed: int = 0
    unconfirmed: list[str] = []
    """Desired channels that are not confirmed, with the reason; the first 100."""
    subscriptions_version: str = ""


def utc(unix_ms: int) -> dt.datetime:
    """A time of the messages as an aware moment.

    Raises ValueError, OverflowError or OSError for a number that is no time in milliseconds.
    """
    return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)


def unaccounted(beat: Heartbeat) -> int:
    """Events that were read and of which the program cannot say what became of them; 0 unless it has a fault."""
    return beat.counters.get("read", 0) - sum(beat.counters.get(name, 0) for name in OUTCOMES)


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not a message: not JSON or the wrong shape, not UTF-8 inside a text, nested without end."""

encode = msgspec.json.Encoder().encode
decode_raw = msgspec.json.Decoder(RawAggregate).decode
decode_filtered = msgspec.json.Decoder(FilteredAggregate).decode
decode_dead_letter = msgspec.json.Decoder(DeadLetter).decode
decode_gap = msgspec.json.Decoder(Gap).decode
decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode
