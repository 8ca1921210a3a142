"""The vendor's frames, JSON arrays of aggregates and statuses, and the messages they become.

Add an event of another channel here, decoded and renamed; whether its numbers are valid belongs to
`validation`, and which channels a CSV may name to `subscriptions`.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from polygon_assets.aggregate_columns import VENDOR_KEYS
from polygon_assets.events.damaged_frame import MOST_PARTS, Part, split, too_many
from polygon_assets.messages import UNREADABLE, RawAggregate

EXCERPT_BYTES = 20
"""Enough to show the key of the value that an error is about."""

STATUS_FIELDS = frozenset({"ev", "status", "message"})

Text = Annotated[str, msgspec.Meta(max_length=64)]
"""No text of an event has more than 20 characters; a very long one would make a message that Kafka
refuses."""


class VendorAggregate(msgspec.Struct, gc=False, rename=VENDOR_KEYS):
    """One event of channel A, with the vendor's keys.

    The fields have the order of RawAggregate, which has received_at and source after the ninth.
    """

    event_type: Text
    symbol: Text
    volume: float | int
    open_price: float
    close_price: float
    high: float
    low: float
    start_timestamp: int
    end_timestamp: int
    accumulated_volume: float | int | None = None
    official_open_price: float | None = None
    vwap: float | None = None
    aggregate_vwap: float | None = None
    average_size: float | int | None = None
    otc: bool = False
    decimal_volume: Text | None = None
    decimal_accumulated_volume: Text | None = None


class Status(msgspec.Struct):
    """A status message: an event whose `ev` is `status`, or a refusal without `ev`."""

    status: str
    message: str
    other_fields: str = ""
    """Fields that no documented status has, as `name: value; …`."""


@dataclass(frozen=True)
class Refused:
    """Bytes that are no event, and why."""

    raw: bytes
    reason: str
    may_hold_several: bool = False
    """The bytes may hold any number of events, so the interval of the frame is a gap."""
    place: int = 0
    """Its place in the frame, in events; the part after it comes after all events it may hold."""


@dataclass
class Frame:
    """The content of one WebSocket message: aggregates, statuses, and unreadable parts."""

    aggregates: list[VendorAggregate] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    read: int = 0
    """Events in the message, readable or not."""
    places: Sequence[int] = ()
    """The place of each aggregate in the message, in events."""
    size: int = 0
    """The number of places."""

    @property
    def is_incomplete(self) -> bool:
        """Whether the message may have held events that cannot be identified."""
        return any(part.may_hold_several for part in self.refused)


_EVENT_KEY = b'"ev"'
_decode_aggregates = msgspec.json.Decoder(list[VendorAggregate]).decode
_decode_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_aggregate = msgspec.json.Decoder(VendorAggregate).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder().decode


def read_frame(message: bytes) -> Frame:
    """Decode a frame; a bad event does not affect the others."""
    try:
        aggregates = _decode_aggregates(message)
    except UNREADABLE:
        return _read_part_by_part(message)
    count = len(aggregates)
    if message.count(_EVENT_KEY) != count:
        return _read_part_by_part(message)
    return Frame(aggregates, read=count, places=range(count), size=count)


def to_raw(event: VendorAggregate, received_at_us: int) -> RawAggregate:
    """The event under the field names of our topic."""
    values = msgspec.structs.astuple(event)
    # mypy cannot count the fields: 9 + 2 + 8.
    return RawAggregate(  # type: ignore[call-arg]
        *values[:9], received_at_us, "websocket", *values[9:]
    )


def _read_part_by_part(message: bytes) -> Frame:
    try:
        raws = _decode_parts(message)
    except UNREADABLE as error:
        parts = split(message, str(error))
    else:
        parts = too_many(message) if len(raws) > MOST_PARTS else [Part(bytes(raw)) for raw in raws]
    places: list[int] = []
    frame = Frame(read=len(parts), places=places)
    for part in parts:
        keys = part.raw.count(_EVENT_KEY)
        event = _read_part(part)
        if isinstance(event, Status):
            frame.statuses.append(event)
        elif isinstance(event, VendorAggregate):
            frame.aggregates.append(event)
            places.append(frame.size)
        else:
            several = part.may_hold_many or (not part.damage and keys > 1)
            frame.refused.append(Refused(part.raw, event, several, frame.size))
        frame.size += max(1, keys)
    return frame


def _read_part(part: Part) -> VendorAggregate | Status | str:
    """The event, or why it cannot be read."""
    if part.damage:
        return part.damage
    try:
        fields = _decode_fields(part.raw)
        if (status := _status(fields)) is not None:
            return status
        if key := _doubled_key(part.raw):
            return f"not one aggregate: it has {key!r} twice"
        return _decode_aggregate(part.raw)
    except UNREADABLE as error:
        return f"not an aggregate: {error}{_excerpt(part.raw, str(error))}"


def _doubled_key(raw: bytes) -> str | None:
    """A key that an object has twice, as two events do that lost what was between them.

    The decoder would return the second event alone. An unknown field may hold an `ev` of its own.
    """
    if raw.count(_EVENT_KEY) < 2:
        return None
    keys = Counter(key for key, _ in json.loads(raw, object_pairs_hook=list))
    return next((key for key, count in keys.items() if count > 1), None)


def _status(fields: dict[str, msgspec.Raw]) -> Status | None:
    """The status, or None for another event.

    `ev` alone decides, because the vendor may add any field to any event.
    """
    if "ev" in fields and _decode_value(fields["ev"]) != "status":
        return None
    if "ev" not in fields and not fields.keys() & {"status", "message"}:
        return None
    other = "; ".join(
        f"{name}: {_text(fields[name])}" for name in fields if name not in STATUS_FIELDS
    )
    return Status(_text(fields.get("status")), _text(fields.get("message")), other)


def _text(value: msgspec.Raw | None) -> str:
    """A status's words, whatever JSON type the vendor wrote them in; empty for null."""
    if value is None or (decoded := _decode_value(value)) is None:
        return ""
    return decoded if isinstance(decoded, str) else bytes(value).decode()


def _excerpt(raw: bytes, error: str) -> str:
    """The bytes up to the place that a decoder's error names, as `, at '"vw":N'`."""
    place = re.search(r"\(byte (\d+)\)", error)
    if place is None:
        return ""
    at = int(place[1])
    return f", at {raw[max(0, at - EXCERPT_BYTES) : at + 1].decode(errors='replace')!r}"
