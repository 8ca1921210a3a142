"""The gap ledger `market.stream_gaps`: every interval in which events may have been missed.

Add a column or a state of the ledger here. The producer reports gaps to Kafka, whose memory may be
lost; this table keeps them, and what became of each. Who fills them belongs to `gap_filling`.
"""

import datetime as dt
import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import TYPE_CHECKING, Literal

from polygon_assets.messages import Gap, clamped_utc
from polygon_assets.serving.queries import load
from polygon_assets.subscriptions import WILDCARD

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TABLE = "market.stream_gaps"
DOUBT = "doubt-"
"""The ids of gaps of one channel, found by comparing it with REST, begin so."""
UNREADABLE = "unreadable-"
"""The ids of reports that nobody can read begin so."""
GapState = Literal["open", "filling", "filled", "verified", "unfillable", "waived"]
SETTLED: tuple[GapState, ...] = ("verified", "waived")
"""States after which nothing is missing, or a person has accepted that something is."""


def may_concern(
    gap_id: str, since: dt.datetime, until: dt.datetime, session: tuple[dt.datetime, dt.datetime]
) -> bool:
    """Whether a gap may have lost something of a session, given by its open and its close."""
    opened, closed = session
    return gap_id.startswith(UNREADABLE) or (since < closed and until > opened)


def is_of_the_connection(gap_id: str) -> bool:
    """Whether every channel may have missed something; a doubted channel stands for itself."""
    return not gap_id.startswith(DOUBT)


def concerns(channels: Collection[str], channel: str) -> bool:
    """Whether a gap of these channels, empty for all, may have lost something of one channel."""
    return not channels or WILDCARD in channels or channel in channels


@dataclass(frozen=True)
class GapEntry:
    """One gap. Moments are market time in UTC, `until` excluded."""

    gap_id: str
    since: dt.datetime
    until: dt.datetime
    cause: str
    channels: tuple[str, ...] = ()
    """Once filled, those that were compared; before, those that were subscribed, empty for all."""
    state: GapState = "open"
    note: str = ""
    rows_found: int = 0
    """Seconds that REST has for the interval, the revision window before it included."""
    rows_added: int = 0
    rows_corrected: int = 0
    events_dropped: int = 0
    epoch: dt.datetime = clamped_utc(0)  # noqa: RUF009 - a constant
    """When the connection was opened; 1970 where no connection is known."""
    verify_after: dt.datetime | None = None
    """When a filled gap is compared once more: corrections may come until then."""
    updated_at: dt.datetime | None = None
    """When this state was stored (wall time); None before."""

    @property
    def is_of_the_connection(self) -> bool:
        """See the function of this name."""
        return is_of_the_connection(self.gap_id)

    @property
    def is_readable(self) -> bool:
        """Whether its interval is known."""
        return not self.gap_id.startswith(UNREADABLE)

    @property
    def is_settled(self) -> bool:
        return self.state in SETTLED

    @property
    def seconds(self) -> float:
        return (self.until - self.since).total_seconds()


COLUMNS = tuple(field.name for field in fields(GapEntry))


def reported(gap: Gap) -> GapEntry:
    """The entry of a gap as the producer reported it."""
    return GapEntry(
        gap.gap_id,
        clamped_utc(gap.since),
        clamped_utc(gap.until),
        gap.reason,
        tuple(gap.channels),
        events_dropped=gap.events_dropped,
        epoch=clamped_utc(gap.epoch),
    )


def unreadable_report(message: bytes, stored_ms: int, error: str) -> GapEntry:
    """The entry of a report that nobody can read: nothing is known but when it came.

    It keeps every day open until a person waives it, because it may be a gap of any of them.
    """
    moment = clamped_utc(stored_ms)
    return GapEntry(
        f"{UNREADABLE}{hashlib.sha256(message).hexdigest()[:12]}",
        moment,
        moment,
        "unreadable report",
        state="unfillable",
        note=f"{error}; waive_gaps closes the day without it",
    )


def store(client: "Client", entries: Sequence[GapEntry], now: dt.datetime) -> None:
    """Store entries as their newest versions. Raises clickhouse_connect's errors."""
    if entries:
        rows = [astuple(replace(entry, updated_at=now)) for entry in entries]
        client.insert(TABLE, rows, column_names=COLUMNS)


def store_new_or_longer(
    client: "Client", entries: Iterable[GapEntry], now: dt.datetime
) -> list[GapEntry]:
    """Store the gaps that are new, or that end later than the stored entry; returns them.

    A longer gap is open again, even if its first part was verified or waived.
    """
    known = {entry.gap_id: entry for entry in read(client)}
    new = [
        replace(
            known[entry.gap_id],
            until=entry.until,
            channels=entry.channels,
            state="open",
            note="",
            verify_after=None,
        )
        if entry.gap_id in known
        else entry
        for entry in entries
        if entry.gap_id not in known or known[entry.gap_id].until < entry.until
    ]
    store(client, new, now)
    return new


def read(client: "Client") -> list[GapEntry]:
    """Every entry, oldest first. Raises clickhouse_connect's errors."""
    rows = client.query(load("gap_ledger"), tz_mode="aware").named_results()
    return [GapEntry(**{**row, "channels": tuple(row["channels"])}) for row in rows]
