"""The table of alerts as an asset: what fires now, where people look for it.

Add a column of its page here; alerts are declared in `inspection.alert_rules`, and the sensor
`alerts` writes the table.
"""

import dagster as dg

from polygon_assets.defs.graph.descriptions import OWNERS, Column, as_table, described, table_schema
from polygon_assets.defs.graph.keys import ALERTS_TABLE, WEBSOCKET
from polygon_assets.inspection.alert_rules import ALERTS as DECLARED

ALERT_COLUMNS: tuple[Column, ...] = (
    ("alert", "LowCardinality(String)", "name of the alert"),
    ("subject", "String", "what it is about, such as a program; empty where there is only one"),
    ("since", "DateTime64(3, 'UTC')", "when its cause was first seen"),
    ("until", "Nullable(DateTime64(3, 'UTC'))", "when it was over; NULL while it fires"),
    ("detail", "String", "what was wrong when it fired"),
    ("updated_at", "DateTime64(6, 'UTC')", "the newest version of an alert wins"),
)
ALERTS = dg.AssetSpec(
    ALERTS_TABLE,
    deps=[WEBSOCKET],
    group_name="stream",
    owners=OWNERS,
    kinds={"clickhouse", "table"},
    metadata={
        "dagster/column_schema": table_schema(ALERT_COLUMNS),
        "dagster/table_name": "market.alerts",
    },
    description=described(
        "Every alert that fired. The latest materialization lists those that fire now; "
        "`polygon-assets status` prints them.\n\n"
        + as_table(
            ("alert", "fires when", "what to do"),
            [(alert.name, alert.fires_when, alert.cure) for alert in DECLARED],
        ),
        grain="one row per alert, subject and beginning; read it with FINAL.",
        lateness="the sensor `alerts` judges every half minute; most causes must last for "
        "ALERT_HOLD_SECONDS first.",
        wrong="the log of the sensor's ticks says what could not be read, stored or sent.",
    ),
)
