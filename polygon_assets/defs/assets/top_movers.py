"""The view of the top movers as an asset, whose page shows the ten of this moment.

Add a column of its page here; the other views belong to `clickhouse`.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from polygon_assets.defs.graph.descriptions import OWNERS, Column, as_table, described, table_schema
from polygon_assets.defs.graph.keys import STOCK_RECENT, TOP_MOVERS_10S
from polygon_assets.defs.graph.resources import Environment

MOVER_COLUMNS: tuple[Column, ...] = (
    ("symbol", "LowCardinality(String)", "ticker"),
    ("last_timestamp", "DateTime64(3, 'UTC')", "start of its last second"),
    ("last_price", "Float64", "US dollars"),
    ("price_10s_ago", "Nullable(Float64)", "US dollars: last close at or before 10 s earlier"),
    ("delta_price_10s", "Nullable(Float64)", "US dollars"),
    ("percentage_change_10s", "Nullable(Float64)", "percent"),
    ("volume_70s", "Decimal(38, 6)", "shares in the last 70 s"),
)
SHOWN = 10


@dg.asset(
    key=TOP_MOVERS_10S,
    deps=[STOCK_RECENT],
    group_name="serving",
    owners=OWNERS,
    kinds={"clickhouse", "view"},
    metadata={
        "dagster/column_schema": table_schema(MOVER_COLUMNS),
        "dagster/table_name": "market.top_movers_10s",
    },
    description=described(
        "Every symbol's last second against 10 s before, for ranking who moves now. The latest "
        f"materialization shows the {SHOWN} largest changes; `polygon-assets query movers --watch` "
        "and the live page follow them.",
        grain="one row per symbol that traded in the 70 s before the parameter `now_ts`.",
        lateness="none: computed when read; this page every five minutes while the market is open.",
        wrong="it is `clickhouse/stock_recent`'s; compare one symbol with "
        "`clickhouse/stock_delta_10s`.",
    ),
)
def top_movers(environment: Environment) -> dg.MaterializeResult[None]:
    from polygon_assets.inspection import tables

    now = environment.clock().market(dt.datetime.now(dt.UTC))
    movers = tables.movers(environment.settings(), now, SHOWN)
    return dg.MaterializeResult(metadata={"top_movers": movers_table(movers)})


def movers_table(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    header = ("symbol", "last", "10 s ago", "change", "shares in 70 s")
    lines = [
        (
            row["symbol"],
            f"{row['last_price']:,.2f}",
            f"{row['price_10s_ago']:,.2f}",
            f"{row['percentage_change_10s']:+.2f} %",
            f"{row['volume_70s']:,.0f}",
        )
        for row in rows
    ]
    return dg.MetadataValue.md(as_table(header, lines) if lines else "no symbol traded within 70 s")
