"""The gap ledger as people read it: every interval in which events may have been missed.

Add a column of the ledger's display here; copying the ledger belongs to `serving.gap_ledger`. Kafka
holds the producer's reports, ClickHouse a copy that survives a broker without memory.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from polygon_assets.inspection import streams, tables
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.messages import Gap, Heartbeat, clamped_utc
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

    def cells(self) -> tuple[str, ...]:
        """from, to (New York time), length, cause, channels, state."""
        length = "" if self.until is None else f"{(self.until - self.since).total_seconds():,.1f} s"
        return (
            _new_york(self.since),
            _new_york(self.until) if self.until else "now",
            length,
            self.cause,
            self.channels,
            self.state,
        )

    def facts(self) -> dict[str, object]:
        """The row as plain JSON values, times in UTC."""
        return asdict(self) | {
            "since": self.since.isoformat(),
            "until": self.until.isoformat() if self.until else None,
        }


COLUMNS = ("from (New York)", "to", "length", "cause", "channels", "state")


def open_gaps(settings: Settings, deadline_seconds: float = streams.DEADLINE_SECONDS) -> list[Gap]:
    """Every open gap of both ledgers, oldest first.

    Raises EvidenceError when a ledger cannot be read, because unknown is not none.
    """
    stored = tables.open_gaps(settings) if settings.clickhouse_host else []
    reported = streams.open_gaps(settings, deadline_seconds)
    by_id = {gap.gap_id: gap for gap in (*stored, *reported)}
    return sorted(by_id.values(), key=lambda gap: gap.since)


def rows(
    gaps: Sequence[Gap], producer: Heartbeat | None, market_is_open: bool, now: dt.datetime
) -> list[GapRow]:
    """The open gaps, and one that lasts, which the producer reports only when it is over."""
    gap_rows = [
        GapRow(
            clamped_utc(gap.since),
            clamped_utc(gap.until),
            _cause(gap),
            channels_text(gap.channels),
            "open",
            gap.events_dropped,
        )
        for gap in gaps
    ]
    if producer and producer.complete_until and market_is_open:
        since = clamped_utc(producer.complete_until)
        if (now - since).total_seconds() > STALE_SECONDS:
            cause = producer.detail or producer.state
            gap_rows.append(
                GapRow(
                    since,
                    None,
                    cause,
                    f"all {producer.desired}" if producer.desired else "all",
                    "lasts",
                )
            )
    return gap_rows


def channels_text(channels: Sequence[str]) -> str:
    """`3: A.AAPL, A.MSFT, A.TSLA`, the first few; `all` for an old gap without channels."""
    if not channels:
        return "all"
    more = ", …" if len(channels) > SHOWN_CHANNELS else ""
    return f"{len(channels)}: {', '.join(channels[:SHOWN_CHANNELS])}{more}"


def _cause(gap: Gap) -> str:
    return (
        f"{gap.reason}, {gap.events_dropped:,} events dropped" if gap.events_dropped else gap.reason
    )


def _new_york(moment: dt.datetime) -> str:
    return f"{moment.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}"
