"""The gap ledger as people read it: every interval in which events may have been missed.

Add a column of the ledger's display here; storing the ledger belongs to `serving.gap_ledger`. Kafka
holds the producer's reports, ClickHouse what became of each of them.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from polygon_assets.inspection import streams, tables
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.messages import Heartbeat, clamped_utc
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings

STALE_SECONDS = 15
"""A producer without complete data for the last 15 s misses something now."""
SHOWN_CHANNELS = 3


@dataclass(frozen=True)
class GapRow:
    """One gap as people read it; `until` is None while it lasts."""

    since: dt.datetime
    until: dt.datetime | None
    cause: str
    channels: str
    state: str
    events_dropped: int = 0
    rows_added: int = 0
    rows_corrected: int = 0
    gap_id: str = ""
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """The cells of COLUMNS; times are New York's, `to` without a day that is the same."""
        return (
            f"{self.since.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}",
            self._until(),
            "" if self.until is None else f"{(self.until - self.since).total_seconds():,.0f} s",
            self.cause,
            self.channels,
            self.state,
            f"{self.rows_added:,}",
            f"{self.rows_corrected:,}",
        )

    def _until(self) -> str:
        if self.until is None:
            return "now"
        since, until = (moment.astimezone(NEW_YORK) for moment in (self.since, self.until))
        return f"{until:%H:%M:%S}" if until.date() == since.date() else f"{until:%m-%d %H:%M:%S}"

    def facts(self) -> dict[str, object]:
        """The row as plain JSON values, times in UTC."""
        return asdict(self) | {
            "since": self.since.isoformat(),
            "until": self.until.isoformat() if self.until else None,
        }


COLUMNS = ("from (New York)", "to", "length", "cause", "channels", "state", "added", "corrected")


def ledger(
    settings: Settings, deadline_seconds: float = streams.DEADLINE_SECONDS
) -> list[GapEntry]:
    """Every gap, settled ones included, oldest first.

    ClickHouse has each gap's outcome; one reported a moment ago may be in Kafka only. Raises
    InspectionError when either cannot be read, because unknown is not none.
    """
    stored = tables.gaps(settings) if settings.clickhouse_host else []
    known = {entry.gap_id for entry in stored}
    new = [
        entry
        for entry in streams.reported_gaps(settings, deadline_seconds)
        if entry.gap_id not in known
    ]
    return sorted([*stored, *new], key=lambda entry: entry.since)


def unsettled(entries: Iterable[GapEntry]) -> list[GapEntry]:
    """The gaps in which something may still be missing."""
    return [entry for entry in entries if not entry.is_settled]


def rows(
    entries: Sequence[GapEntry], producer: Heartbeat | None, market_is_open: bool, now: dt.datetime
) -> list[GapRow]:
    """The gaps, and one that lasts, which the producer reports only when it is over."""
    gap_rows = [
        GapRow(
            entry.since,
            entry.until,
            _cause(entry),
            channels_text(entry.channels),
            entry.state,
            entry.events_dropped,
            entry.rows_added,
            entry.rows_corrected,
            entry.gap_id,
            entry.note,
        )
        for entry in entries
    ]
    if producer and producer.complete_until and market_is_open:
        since = clamped_utc(producer.complete_until)
        if (now - since).total_seconds() > STALE_SECONDS:
            cause = producer.detail or producer.state
            channels = f"all {producer.desired}" if producer.desired else "all"
            gap_rows.append(GapRow(since, None, cause, channels, "lasts"))
    return gap_rows


def channels_text(channels: Sequence[str]) -> str:
    """`3: A.AAPL, A.MSFT, A.TSLA`, the first few; `all` for an old gap without channels."""
    if not channels:
        return "all"
    more = ", …" if len(channels) > SHOWN_CHANNELS else ""
    return f"{len(channels)}: {', '.join(channels[:SHOWN_CHANNELS])}{more}"


def _cause(entry: GapEntry) -> str:
    if not entry.events_dropped:
        return entry.cause
    return f"{entry.cause}, {entry.events_dropped:,} events dropped"


def notes(shown: Sequence[GapRow]) -> list[str]:
    """One line for each gap with a note: its id, its beginning and why it waits."""
    return [f"{row.gap_id} ({row.cells()[0]}): {row.note}" for row in shown if row.note]
