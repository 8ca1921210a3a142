"""The gap ledger as an asset: the open gaps where people look for them.

Add a column of the ledger's page here; gaps are found by `streaming` and stored by `serving`.
"""

import datetime as dt

import dagster as dg

from polygon_assets.defs.graph.descriptions import OWNERS, Column, as_table, described, table_schema
from polygon_assets.defs.graph.keys import STREAM_GAPS, WEBSOCKET
from polygon_assets.defs.graph.resources import Environment

GAP_COLUMNS: tuple[Column, ...] = (
    ("gap_id", "String", "connection and first moment; the key"),
    ("since", "DateTime64(3, 'UTC')", "from here events may be missing, included"),
    ("until", "DateTime64(3, 'UTC')", "until here, excluded"),
    ("cause", "LowCardinality(String)", "disconnect, crash, stop, drop or unreadable"),
    ("channels", "Array(LowCardinality(String))", "channels that were subscribed; empty means all"),
    ("state", "LowCardinality(String)", "open"),
    ("events_dropped", "UInt64", "events that a full queue could not take"),
    ("epoch", "DateTime64(3, 'UTC')", "when the connection was opened"),
    ("updated_at", "DateTime64(6, 'UTC')", "the newest version of a gap wins"),
)
SHOWN_ROWS = 200


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
        "Every interval in which events may have been missed, from the producer's ledger "
        "`polygon_stream_gaps`. The latest materialization shows the open ones as a table (from, "
        "to, cause, channels, state); `polygon-assets gaps` prints the same.",
        grain="one row per gap; read it with FINAL.",
        lateness="copied every five minutes while the market is open; a gap is reported when "
        "events arrive again.",
        wrong="an open gap keeps its trading day open. The vendor replays nothing, so the seconds "
        "must be fetched by REST.",
    ),
)
def stream_gaps(environment: Environment) -> dg.MaterializeResult[None]:
    from polygon_assets.clients import clickhouse
    from polygon_assets.inspection import gaps, streams
    from polygon_assets.serving.gap_ledger import store

    settings, now = environment.settings(), dt.datetime.now(dt.UTC)
    client = clickhouse.connect(settings)
    try:
        store(client, streams.open_gaps(settings), now)
    finally:
        client.close()
    is_open = environment.calendar().is_open(environment.clock().market(now))
    rows = gaps.rows(
        gaps.open_gaps(settings), streams.heartbeats(settings).get("producer"), is_open, now
    )
    return dg.MaterializeResult(
        metadata={
            "open_gaps": dg.MetadataValue.int(len(rows)),
            "missing_seconds": dg.MetadataValue.float(
                sum(((row.until or now) - row.since).total_seconds() for row in rows)
            ),
            "gaps": dg.MetadataValue.md(
                as_table(gaps.COLUMNS, [row.cells() for row in rows[-SHOWN_ROWS:]])
                if rows
                else "no open gap"
            ),
        }
    )
