"""What a replay of a letter publishes: its bytes read and judged again by the present code.

Add how the bytes of a stage return into the stream here. Every decision is made from the letter
alone, and the version of an event is the time of its refusal, so replaying twice changes nothing
and newer versions stay.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from polygon_assets.events.validation import refusal_reason
from polygon_assets.events.vendor_channels import read_frame, to_raw
from polygon_assets.messages import (
    UNREADABLE,
    FilteredAggregate,
    RawAggregate,
    decode_filtered,
    decode_raw,
    encode,
)
from polygon_assets.topics import FILTERED_TOPIC, RAW_TOPIC

SHOWN_PROBLEMS = 3


@dataclass(frozen=True)
class Publications:
    """The messages of one letter, and what of it is still refused."""

    topic: str
    messages: tuple[tuple[bytes, bytes], ...] = ()
    """Key and value."""
    problem: str = ""
    """Why bytes of the letter are still refused; empty if none are."""


def publications(stage: str, raw: bytes, refused_at_us: int) -> Publications:
    """What to publish for the bytes of a stage that were refused at a time in Unix microseconds.

    What is still refused is not published: it would come back as another dead letter.
    """
    if stage in ("frame", "event"):
        return _of_the_vendor(raw, refused_at_us)
    if stage == "validate":
        return _of_raw_topic(raw)
    if stage == "insert":
        return _of_filtered_topic(raw)
    return Publications("", problem=f"stage {stage!r} has no way back into the stream")


def _of_the_vendor(raw: bytes, refused_at_us: int) -> Publications:
    """The events of a frame, or one event; versions begin at the refusal and strictly increase."""
    frame = read_frame(raw)
    problems = [part.reason for part in frame.refused]
    messages = []
    for version_us, event in enumerate(frame.aggregates, refused_at_us):
        aggregate = to_raw(event, version_us)
        if reason := refusal_reason(aggregate):
            problems.append(reason)
        else:
            messages.append(_message(aggregate, encode(aggregate)))
    return Publications(RAW_TOPIC, tuple(messages), _shortened(problems))


def _of_raw_topic(raw: bytes) -> Publications:
    try:
        aggregate = decode_raw(raw)
    except UNREADABLE as error:
        return Publications(RAW_TOPIC, problem=f"not a raw aggregate: {error}")
    if reason := refusal_reason(aggregate):
        return Publications(RAW_TOPIC, problem=reason)
    return Publications(RAW_TOPIC, (_message(aggregate, raw),))


def _of_filtered_topic(raw: bytes) -> Publications:
    """The bytes as they are; what ClickHouse alone refuses is known only after the insert."""
    try:
        row = decode_filtered(raw)
    except UNREADABLE as error:
        return Publications(FILTERED_TOPIC, problem=f"not a row: {error}")
    return Publications(FILTERED_TOPIC, (_message(row, raw),))


def _message(event: RawAggregate | FilteredAggregate, value: bytes) -> tuple[bytes, bytes]:
    return event.symbol.encode(), value


def _shortened(problems: Iterable[str]) -> str:
    """Each problem once, the first few."""
    different = list(dict.fromkeys(problems))
    more = (
        f"; and {len(different) - SHOWN_PROBLEMS} more" if len(different) > SHOWN_PROBLEMS else ""
    )
    return "; ".join(different[:SHOWN_PROBLEMS]) + more
