"""The gap ledger as an asset: the open gaps where people look for them.

Add a column of the ledger's page here; gaps are found by `streaming` and stored by `serving`.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, get_args

import dagster as dg

from polygon_assets.defs.graph import plots
from polygon_assets.defs.graph.descriptions import OWNERS, Column, as_table, described, table_schema
from polygon_assets.defs.graph.keys import STREAM_GAPS, WEBSOCKET
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.messages import GapReason
from polygon_assets.serving.gap_ledger import GapEntry

if TYPE_CHECKING:
    from polygon_assets.inspection.gaps import GapRow

CAUSES: Mapping[str, tuple[str, ...]] = {
    "reported by a program": get_args(GapReason),
    "from the heartbeats": (
        "restart",
        "silence",
        "unconfirmed",
        "late start",
        "early end",
        "not running",
    ),
    "from a comparison with REST": ("silent channel", "missing second"),
    "of a report that nobody can read": ("unreadable report",),
}
"""By who found a gap, its causes. A test compares them with what the code writes."""
GAP_COLUMNS: tuple[Column, ...] = (
    ("gap_id", "String", "connection and first moment; the key"),
    ("since", "DateTime64(3, 'UTC')", "from here events may be missing, included"),
    ("until", "DateTime64(3, 'UTC')", "until here, excluded"),
    (
        "cause",
        "LowCardinality(String)",
        "; ".join(f"{source}: {', '.join(causes)}" for source, causes in CAUSES.items()),
    ),
    ("channels", "Array(LowCardinality(String))", "channels that were subscribed; empty means all"),
    (
        "state",
        "LowCardinality(String)",
        "open, filling, filled, verified, unfillable or waived",
    ),
    ("events_dropped", "UInt64", "events that a full queue could not take"),
    ("epoch", "DateTime64(3, 'UTC')", "when the connection was opened"),
    ("note", "String", "why it is unfillable, or why a person waived it"),
    ("rows_found", "UInt64", "seconds by REST, the 15 minutes before the gap included"),
    ("rows_added", "UInt64", "seconds that were missing"),
    ("rows_corrected", "UInt64", "seconds whose stored values differed"),
    ("verify_after", "Nullable(DateTime64(3, 'UTC'))", "when it is compared once more"),
    ("updated_at", "DateTime64(6, 'UTC')", "the newest version of a gap wins"),
)
SHOWN_OPEN = 200
SHOWN_SETTLED = 50
SHOWN_AGE = dt.timedelta(days=14)
STATE_COLORS = {
    "verified": plots.GOOD,
    "waived": plots.NEUTRAL,
    "filled": plots.FAIR,
    "filling": plots.FAIR,
    "unfillable": plots.BAD,
    "open": plots.BAD,
}


@dg.asset(
    key=STREAM_GAPS,
    deps=[WEBSOCKET],
    group_name="stream",
    owners=OWNERS,
    kinds={"clickhouse", "table"},
    metadata={
        "dagster/column_schema": table_schema(GAP_COLUMNS),
        "dagster/table_name": "market.stream_gaps",
    },
    description=described(
        "Every interval in which events may have been missed, and what became of it: the sensor "
        "`gap_filler` records it and the job `fill_gaps` fetches its seconds by REST. The latest "
        "materialization shows the open ones and the newest settled ones as tables; "
        "`polygon-assets gaps --all` prints them.",
        grain="one row per gap; read it with FINAL.",
        lateness="a gap is recorded within half a minute after events arrive again, filled "
        "within two minutes, and compared once more when corrections can no longer come.",
        wrong="an unsettled gap keeps its trading day open. Launch `fill_gaps` for one that waits "
        "for a person or is unfillable, `waive_gaps` to close the day without it.",
    ),
)
def stream_gaps(environment: Environment) -> dg.MaterializeResult[None]:
    from polygon_assets.inspection import gaps, streams

    settings, now = environment.settings(), dt.datetime.now(dt.UTC)
    ledger = gaps.ledger(settings)
    is_open = environment.calendar().is_open(environment.clock().market(now))
    producer = streams.heartbeats(settings).get("producer")
    rows = gaps.rows(gaps.unsettled(ledger), producer, is_open, now)
    return dg.MaterializeResult(metadata=ledger_metadata(ledger, rows, now))


def ledger_metadata(
    ledger: Sequence[GapEntry], open_rows: Sequence["GapRow"], now: dt.datetime
) -> dict[str, dg.MetadataValue]:
    """What the asset's page shows; `open_rows` may also have the gap that still lasts."""
    from polygon_assets.inspection import gaps

    def table(rows: Sequence["GapRow"]) -> str:
        return as_table(gaps.COLUMNS, [row.cells() for row in rows])

    settled = sorted((entry for entry in ledger if entry.is_settled), key=_settled_at)
    newest = gaps.rows(settled[-SHOWN_SETTLED:], None, market_is_open=False, now=now)[::-1]
    shown = open_rows[-SHOWN_OPEN:]
    missing = sum((((row.until or now) - row.since).total_seconds() for row in open_rows), 0.0)
    return {
        "open_gaps": dg.MetadataValue.int(len(open_rows)),
        "settled_gaps": dg.MetadataValue.int(len(settled)),
        "rows_added": dg.MetadataValue.int(sum(entry.rows_added for entry in ledger)),
        "rows_corrected": dg.MetadataValue.int(sum(entry.rows_corrected for entry in ledger)),
        "missing_seconds": dg.MetadataValue.float(missing),
        **_by_day(ledger, now),
        "gaps": dg.MetadataValue.md(table(shown) if shown else "no open gap"),
        "newest_settled": dg.MetadataValue.md(table(newest) if newest else "none yet"),
        "notes": dg.MetadataValue.md(
            "\n".join(f"* {note}" for note in gaps.notes([*shown, *newest])) or "none"
        ),
    }


def _settled_at(entry: GapEntry) -> dt.datetime:
    return entry.updated_at or entry.until


def _by_day(ledger: Sequence[GapEntry], now: dt.datetime) -> dict[str, dg.MetadataValue]:
    """Seconds in gaps of the last 14 days as a picture; empty without a gap."""
    first = (now - SHOWN_AGE).astimezone(NEW_YORK).date()
    seconds: dict[str, dict[dt.date, float]] = {state: defaultdict(float) for state in STATE_COLORS}
    for entry in ledger:
        day = entry.since.astimezone(NEW_YORK).date()
        if entry.is_readable and day >= first:
            seconds[entry.state][day] += entry.seconds
    days = sorted({day for by_day in seconds.values() for day in by_day})
    series = {
        state: [by_day.get(day, 0.0) for day in days] for state, by_day in seconds.items() if by_day
    }
    if not days:
        return {}
    title = "seconds in gaps by state and by the New York day on which they began"
    colors = [STATE_COLORS[state] for state in series]
    return {"by_day": plots.stacked_bars(title, [f"{day:%m-%d}" for day in days], series, colors)}
