"""The Airbyte source as an asset: its list of tickers follows the subscriptions.

Add what the asset's page shows here; the rest of the source belongs to `batch.airbyte.provision`.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing

import dagster as dg

from polygon_assets.defs.graph.automation import FOLLOWS_ALSO_THE_PAST, SHORT_OUTAGES
from polygon_assets.defs.graph.descriptions import OWNERS, as_diff, described
from polygon_assets.defs.graph.keys import AIRBYTE_SOURCE, SUBSCRIPTIONS
from polygon_assets.defs.graph.pools import VENDOR_REQUESTS
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.subscriptions import difference

LOCKED = 423
"""Airbyte's HTTP status while a sync uses the state."""
NONE_NAMED = "no symbol is named (A.*, or no set is in force), so the list stays as it was"


@dg.asset(
    key=AIRBYTE_SOURCE,
    deps=[SUBSCRIPTIONS],
    group_name="batch",
    owners=OWNERS,
    kinds={"airbyte"},
    automation_condition=FOLLOWS_ALSO_THE_PAST,
    # A sync that runs locks the state, which begins with a new symbol's first day.
    pool=VENDOR_REQUESTS,
    retry_policy=SHORT_OUTAGES,
    output_required=False,
    description=described(
        "The Airbyte source with which all raw tables are read. Its `open_close_tickers`, which "
        "`snowflake/raw/daily_open_close` requests one by one, follow the subscribed symbols; "
        "`polygon-assets airbyte apply` sets everything else in it.",
        grain="one list of symbols.",
        lateness="it follows an accepted subscription CSV within a minute, or after the load that "
        "is running. A new symbol is in the day's load from then on.",
        wrong="materialize it to set the list again. `A.*` names no symbol: then the list stays as "
        "it was. Past days of a new symbol come with a backfill of "
        "`snowflake/raw/daily_open_close`. Where Airbyte is not set up nothing happens.",
    ),
)
def polygon_source(
    context: dg.AssetExecutionContext, environment: Environment
) -> Iterator[dg.MaterializeResult[None]]:
    from polygon_assets.batch.airbyte.provision import open_close_tickers, set_open_close_tickers
    from polygon_assets.clients import subscription_store
    from polygon_assets.clients.airbyte.api import AirbyteApi
    from polygon_assets.clients.airbyte.transport import AirbyteError, AirbyteUnavailableError

    settings = environment.settings()
    if missing := missing_settings(settings, "airbyte"):
        context.log.warning("no Airbyte source was changed; %s", not_set(missing))
        return
    named = subscription_store.named_symbols(settings)
    try:
        with closing(AirbyteApi(settings)) as api:
            before = (
                open_close_tickers(api) if named is None else set_open_close_tickers(api, named)
            )
    except AirbyteError as error:
        will_pass = isinstance(error, AirbyteUnavailableError) or error.status == LOCKED
        raise dg.Failure(str(error), allow_retries=will_pass) from error
    yield dg.MaterializeResult(asset_key=AIRBYTE_SOURCE, metadata=_metadata(before, named))


def _metadata(before: Sequence[str], named: Sequence[str] | None) -> dict[str, dg.MetadataValue]:
    change = difference(before, before if named is None else named)
    return {
        **({"note": dg.MetadataValue.text(NONE_NAMED)} if named is None else {}),
        "tickers": dg.MetadataValue.int(len(before) if named is None else len(named)),
        "added": dg.MetadataValue.int(len(change.added)),
        "removed": dg.MetadataValue.int(len(change.removed)),
        "difference": dg.MetadataValue.md(as_diff(change.added, change.removed)),
    }
