"""The contract of the Kafka topics: one struct per message, with the field names of the JSON.

Add a field or an encoding here; topics belong to `topics`, whether a message is valid belongs to
`events.validation`, and where it goes to the programs of `streaming`.
"""

import datetime as dt
from typing import Annotated, Literal, get_args

import msgspec

ProgramName = Literal["producer", "filter", "sink", "archiver"]
PROGRAMS: tuple[ProgramName, ...] = get_args(ProgramName)
Stage = Literal["frame", "event", "validate", "insert"]
"""Where an event is refused."""
STAGES: tuple[Stage, ...] = get_args(Stage)
ProgramState = Literal[
    "starting",
    "standby",
    "connecting",
    "streaming",
    "waiting",
    "backing_off",
    "draining",
    "stopped",
]
Source = Literal["websocket", "rest"]
GapReason = Literal["disconnect", "drop", "crash", "stop", "unreadable", "broker"]

LATEST_MS = 4_102_444_800_000
"""2100-01-01 in Unix milliseconds."""
LARGEST_INT64 = 2**63 - 1
# Limits of what a stranger may write into a topic: readers compute with these numbers, and tables
# store them. Decoding refuses a message beyond them and names the field.
Int64 = Annotated[int, msgspec.Meta(ge=-LARGEST_INT64, le=LARGEST_INT64)]
Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_INT64)]
Count32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
UnixMs = Annotated[int, msgspec.Meta(ge=0, le=LATEST_MS)]
# As the constraint of `market.stock_aggregates`: whole batches of rows that only the table refused
# would look like a fault of the table, and the sink would try them again for ever.
StartMs = Annotated[int, msgspec.Meta(ge=631_152_000_000, lt=LATEST_MS)]
UnixUs = Annotated[int, msgspec.Meta(ge=0, le=1000 * LATEST_MS)]


class RawAggregate(msgspec.Struct, omit_defaults=True, gc=False):
    """One per-second aggregate in RAW_TOPIC, keyed by symbol, as the vendor sent it.

    Prices are in US dollars, volumes in shares, `start_timestamp` and `end_timestamp` in Unix
    milliseconds (end excluded). `received_at` is when the producer first received this version, in
    Unix microseconds. `volume` is the vendor's whole number; where fractional shares traded,
    `decimal_volume` has the exact decimal, which takes precedence.
    """

    event_type: str
    symbol: str
    volume: float | int
    open_price: float
    close_price: float
    high: float
    low: float
    start_timestamp: Int64
    end_timestamp: Int64
    received_at: UnixUs
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

    Volumes are decimal strings of at most 12 digits before and 6 after the point, so that no float
    rounds them; timestamps are as in RawAggregate; `readable_timestamp` is the start in UTC,
    `yyyy-MM-ddTHH:mm:ss.SSSZ`.
    """

    symbol: str
    start_timestamp: StartMs
    end_timestamp: UnixMs
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
    received_at: UnixUs
    source: Source
    readable_timestamp: str


class DeadLetter(msgspec.Struct, omit_defaults=True):
    """Refused bytes with their origin and the reason; base64 in JSON, for a replay."""

    program: ProgramName
    stage: Stage
    reason: str
    raw: bytes
    refused_at: int
    """Unix microseconds; of the producer, the first `received_at` that is reserved for a replay."""
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    epoch: int | None = None
    """Connection epoch of the producer: Unix milliseconds at which that connection was opened."""
    part: int = 0
    """Bytes too long for one message fill `parts` letters, numbered from 1; 0 for one letter."""
    parts: int = 0
    sha256: str = ""
    """Of all parts joined, in hexadecimal; identifies a letter's parts, and proves them whole."""


class Gap(msgspec.Struct, omit_defaults=True):
    """An interval in which events may have been missed, keyed by `gap_id`.

    Times are Unix milliseconds; `until` is excluded.
    """

    gap_id: str
    reason: GapReason
    since: int
    until: int
    epoch: int
    events_dropped: Count = 0
    channels: list[str] = []
    """The channels that the producer was to subscribe to, sorted."""


OUTCOMES = ("forwarded", "refused", "status", "unsubscribed", "dropped", "released", "waiting")
"""The outcomes of events that were read: these counters add up to `read` in every heartbeat.

`status` counts messages about the connection, `dropped` events that a full queue could not take (a
gap), `released` events that another member of the group reads again, `waiting` events that are not
delivered yet.
"""


class Heartbeat(msgspec.Struct, omit_defaults=True):
    """The status that a stream program publishes once a second in STATUS_TOPIC, keyed by program.

    Times are Unix milliseconds. Counters only grow within an instance; a new instance starts at 0.
    """

    program: ProgramName
    instance: str
    """`process:started_at`, which changes with each start. The process is `host:pid`, on ECS
    `ecs-task:ID`; a supervision recognises its program by it."""
    state: ProgramState
    """`standby`: another copy of the program leads, and this one would replace it."""
    started_at: UnixMs
    sent_at: UnixMs
    detail: str = ""
    """The reason for the state, in words."""
    epoch: UnixMs = 0
    newest_event: UnixMs | None = None
    """The newest `start_timestamp` that was delivered."""
    newest_received_at: UnixMs | None = None
    """When the producer received the newest event that was delivered."""
    complete_until: UnixMs | None = None
    """Nothing is missing before this wall time, but what Kafka has yet to acknowledge.

    It is now while the producer's channels carry data and Kafka acknowledges them within seconds,
    and the time of the loss during a loss.
    """
    rate: float = 0.0
    """Events delivered per second, over the last 10 s."""
    lag: Count | None = None
    """Unprocessed messages of the topic that the program reads; for the producer, queued events."""
    counters: dict[str, Count] = {}
    """Messages or events read, their OUTCOMES, and reconnects, retries and gaps."""
    restarts: Count32 = 0
    """How often the program was restarted on this trading day."""
    recent_read: Count = 0
    """The increase of `read` over the last five minutes."""
    recent_refused: Count = 0
    """The increase of `refused` over the last five minutes."""
    last_refusal: str = ""
    """The reason of the newest refusal."""
    arrival_delay_ms: Int64 | None = None
    """From the end of a second to the arrival of its bar, the median of the last frames.

    Below 0 the vendor's clock is ahead of ours. None while replayed events arrive, because their
    delay is meaningless.
    """
    desired: Count32 = 0
    confirmed: Count32 = 0
    unconfirmed: list[str] = []
    """Desired channels that are not confirmed, with the reason; the first 100."""
    subscriptions_version: str = ""
    is_standby: bool = False
    """Whether another copy of the program leads; also in the last heartbeat of such a copy."""
    acknowledged_at: UnixMs | None = None
    """When the newest heartbeat that Kafka has acknowledged was sent."""


def process_on_host(host: str, pid: int) -> str:
    """The process in the instance of a heartbeat: one of a machine."""
    return f"{host}:{pid}"


def process_on_ecs(task_id: str) -> str:
    """The process in the instance of a heartbeat: one of an ECS task, where pids mean nothing."""
    return f"ecs-task:{task_id}"


def process_of(beat: Heartbeat) -> str:
    """Which process sent a heartbeat."""
    return beat.instance.rpartition(":")[0]


class Stamps(msgspec.Struct):
    """What the messages of RAW_TOPIC and FILTERED_TOPIC have in common: the second, its receipt."""

    start_timestamp: int
    received_at: int


def utc(unix_ms: int) -> dt.datetime:
    """A message's time as an aware datetime.

    Raises ValueError, OverflowError or OSError for a number that is not a time in milliseconds.
    """
    return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)


def clamped_utc(unix_ms: int) -> dt.datetime:
    """A time of the messages, clamped to 1970 to 2100: one wrong stamp must not hide other gaps."""
    return utc(min(max(unix_ms, 0), LATEST_MS))


def unaccounted(beat: Heartbeat) -> int:
    """The number of events that were read and have no outcome; 0 unless the program has a bug."""
    return beat.counters.get("read", 0) - sum(beat.counters.get(name, 0) for name in OUTCOMES)


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Raised by decoding: not JSON or another shape, text that is not UTF-8, endless nesting."""

encode = msgspec.json.Encoder().encode
decode_raw = msgspec.json.Decoder(RawAggregate).decode
decode_stamps = msgspec.json.Decoder(Stamps).decode
decode_filtered = msgspec.json.Decoder(FilteredAggregate).decode
decode_dead_letter = msgspec.json.Decoder(DeadLetter).decode
decode_gap = msgspec.json.Decoder(Gap).decode
decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode
