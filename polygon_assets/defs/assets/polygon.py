"""The vendor's live feed and REST API, as assets that nothing here materializes.

Add a source of the vendor here; programs, Airbyte and loads read the sources.
"""

import dagster as dg

from polygon_assets.defs.graph.descriptions import OWNERS, described
from polygon_assets.defs.graph.keys import POLYGON_REST, SUBSCRIPTIONS, WEBSOCKET

WEBSOCKET_FEED = dg.AssetSpec(
    WEBSOCKET,
    deps=[SUBSCRIPTIONS],
    group_name="stream",
    owners=OWNERS,
    kinds={"websocket"},
    description=described(
        "The vendor's live feed (Polygon, now Massive) of per-second aggregates, on the one "
        "connection the account may hold. The run of `run_producer` writes an observation at "
        "each change and every 30 s: state, confirmed channels, rate.",
        grain="one message per symbol and second in which it traded; seconds without a trade have "
        "none.",
        lateness="about 2 s after the second ends, 15 min on the delayed cluster; corrected "
        "seconds are sent again for up to 15 min.",
        wrong="see `state` and `unconfirmed` in the newest observation, then the log of the newest "
        "`run_producer`. The vendor replays nothing: `clickhouse/stream_gaps` records what was "
        "missed, and the job `fill_gaps` fetches it by REST.",
    ),
)
REST = dg.AssetSpec(
    POLYGON_REST,
    group_name="batch",
    owners=OWNERS,
    kinds={"api"},
    description=described(
        "The vendor's REST API (Polygon, now Massive): reference data, and each past day's bars. "
        "Airbyte's connector requests new records, a backfill requests past days, and both keep to "
        "the plan's requests a minute.",
        grain="one answer per request: a page of reference data, all symbols' bars of a day, or "
        "one symbol's official prices of a day.",
        lateness="a day's bars are final some minutes after the extended close; on the free plan "
        "they are served from midnight New York on.",
        wrong="HTTP 401 is the key, 403 the plan, 429 too many requests: the failed run names the "
        "cause with its cure. The vendor may correct a day later: materialize that day of "
        "`snowflake/raw/grouped_daily` again.",
    ),
)
