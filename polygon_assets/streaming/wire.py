"""The vendor's frames: JSON arrays of aggregates and status messages, and what becomes of them in our topic.

Only decoding and renaming belong here; whether the numbers make sense is the filter's business.
"""

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from polygon_assets.messages import UNREADABLE, RawAggregate

Text = Annotated[str, msgspec.Meta(max_length=64)]
"""No text of an event is longer than 20 characters; a longer one must not become a message that Kafka refuses."""


class VendorAggregate(
    msgspec.Struct,
    gc=False,
    rename={
        "event_type": "ev",
        "symbol": "sym",
        "volume": "v",
        "open_price": "o",
        "close_price": "c",
        "high": "h",
        "low": "l",
        "start_timestamp": "s",
        "end_timestamp": "e",
        "accumulated_volume": "av",
        "official_open_price": "op",
        "vwap": "vw",
        "aggregate_vwap": "a",
        "average_size": "z",
        "decimal_volume": "dv",
        "decimal_accumulated_volume": "dav",
    },
):
    """One event of channel A, fields in the order of RawAggregate (which has received_at and source after the ninth)."""

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
    """A status message. A bare refusal has no `ev` and names no channel."""

    status: str
    message: str = ""
    ev: str = "status"


@dataclass
class Frame:
    """What one WebSocket message held: aggregates, statuses, and what could not be read with the reason."""

    aggregates: list[VendorAggregate] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    refused: list[tuple[bytes, str]] = field(default_factory=list)
    whole_is_bad: bool = False


_decode_aggregates = msgspec.json.Decoder(list[VendorAggregate]).decode
_decode_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_aggregate = msgspec.json.Decoder(VendorAggregate).decode
_decode_status = msgspec.json.Decoder(Status).decode


def read_frame(message: bytes) -> Frame:
    """Decode a frame; one bad event does not cost the others."""
    try:
        return Frame(aggregates=_decode_aggregates(message))
    except UNREADABLE:
        return _read_part_by_part(message)


def to_raw(event: VendorAggregate, received_at_us: int) -> RawAggregate:
    """The event under the field names of our topic."""
    values = msgspec.structs.astuple(event)
    return RawAggregate(*values[:9], received_at_us, "websocket", *values[9:])  # type: ignore[call-arg]  # 9 + 2 + 8 fields


def _read_part_by_part(message: bytes) -> Frame:
    try:
        parts = _decode_parts(message)
    except UNREADABLE as error:
        return Frame(refused=[(message, f"not a JSON array: {error}")], whole_is_bad=True)
    frame = Frame()
    for part in parts:
        _read_part(frame, bytes(part))
    return frame


def _read_part(frame: Frame, part: bytes) -> None:
    try:
        status = _decode_status(part)
    except UNREADABLE:
        pass  # An aggregate has no `status`: what it is, is decided next.
    else:
        frame.statuses.append(status)
        return
    try:
        frame.aggregates.append(_decode_aggregate(part))
    except UNREADABLE as error:
        frame.refused.append((part, f"not an aggregate: {error}"))
