"""What comes from the vendor. Its data is only named here: the producer program receives it."""

import dagster as dg

from polygon_assets.defs.description import OWNERS, described
from polygon_assets.defs.keys import SUBSCRIPTIONS, WEBSOCKET

WEBSOCKET_FEED = dg.AssetSpec(
    WEBSOCKET,
    deps=[SUBSCRIPTIONS],
    group_name="stream",
    owners=OWNERS,
    kinds={"websocket"},
    description=described(
        "The vendor's live feed (Polygon, now Massive) of per-second aggregates, on the one connection the account may hold. "
        "The run of `run_producer` writes an observation at each change and every 30 s: state, confirmed channels, rate.",
        grain="one message per symbol and second in which it traded; seconds without a trade have none.",
        lateness="about 2 s after the second ends, 15 min on the delayed cluster; corrected seconds are sent again for up to 15 min.",
        wrong="see `state` and `unconfirmed` in the newest observation, then the log of the newest `run_producer`. Nothing is replayed by "
        "the vendor: what was missed stands in the gap ledger and keeps its trading day open.",
    ),
)
