"""What S3 holds as assets: the subscription CSV, judged and published, and the raw archive.

Add what their pages show here; the rules of the CSV belong to `polygon_assets.subscriptions`, the
objects of the archive to `clients.archive_store`.
"""

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from polygon_assets.defs.assets.budget import WITHIN_BUDGET, budget, not_judged
from polygon_assets.defs.graph.descriptions import OWNERS, as_diff, described
from polygon_assets.defs.graph.keys import RAW, RAW_ARCHIVE, SUBSCRIPTIONS
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.subscriptions import AcceptedSet, BadLine, accept, difference, parse

if TYPE_CHECKING:
    from polygon_assets.clients.subscription_store import SubscriptionStore

EVERY_LINE_VALID = dg.AssetCheckSpec(
    "every_line_valid",
    asset=SUBSCRIPTIONS,
    description="Each line names a channel of a ticker that the vendor lists, once. One bad line "
    "refuses the whole file.",
)

ARCHIVE = dg.AssetSpec(
    RAW_ARCHIVE,
    deps=[RAW],
    group_name="stream",
    owners=OWNERS,
    kinds={"s3", "json"},
    description=described(
        "Every message of `kafka/polygon_stream_aggregates` as it was received, for ever: JSON "
        "lines, compressed with zstd, under `date=…/hour=…/partition=…` of the seconds (UTC). Any "
        "trading day can be rebuilt and compared with the table: `polygon-assets rebuild DAY`.",
        grain="one line per message; after a crash of the archiver a message may stand in two "
        "objects, which changes no rebuilt row.",
        lateness="ARCHIVE_MAX_SECONDS, five minutes by default.",
        wrong="the check `archiver_keeps_up` fails: see `run_archiver`, usually S3 is away or "
        "refuses. Kafka keeps a week for it. Expire old objects with a lifecycle rule of the "
        "bucket.",
    ),
)


@dg.asset(
    key=SUBSCRIPTIONS,
    group_name="stream",
    owners=OWNERS,
    kinds={"s3", "csv"},
    check_specs=[EVERY_LINE_VALID, WITHIN_BUDGET],
    output_required=False,
    description=described(
        "The channels that should be streamed, from the CSV in S3. Producer and filter apply a "
        "valid file within seconds; an invalid one changes nothing.",
        grain="one line per channel, `A.<TICKER>` or `A.*`.",
        lateness="a sensor looks every 30 s; the validation reads all tickers from the vendor, "
        "which takes minutes at 5 requests a minute.",
        wrong="the check `every_line_valid` names each bad line with its reason: correct the file "
        "and upload it again (`polygon-assets subscriptions check FILE`, then `push FILE`). Every "
        "accepted set is kept under `versions/`.",
    ),
)
def subscriptions(
    context: dg.AssetExecutionContext, environment: Environment
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    from polygon_assets.clients import subscription_store
    from polygon_assets.clients.polygon import PolygonRest

    settings = environment.settings()
    store = subscription_store.connect(settings)
    csv = store.read_csv()
    previous, warning = _in_force(store)
    if warning:
        context.log.warning(warning)
    parsed = parse(csv.text, PolygonRest(settings).active_tickers())
    # Minutes have passed: an older file must neither replace a newer one nor be judged for it.
    if (newest := store.csv_etag()) != csv.etag:
        raise dg.Failure(
            f"the file changed from {csv.etag} to {newest} while it was judged; nothing is put in "
            f"force, and the run for {newest} judges the new file"
        )
    yield _judgement(parsed.bad_lines, previous)
    if parsed.bad_lines:
        yield not_judged()
        context.log.error("refused; %s stays in force", previous.version if previous else "no set")
        return
    judged = budget(parsed.channels, settings)
    yield judged.result
    if judged.is_exceeded:
        context.log.error("refused; %s stays in force", previous.version if previous else "no set")
        return
    accepted = accept(
        csv.text, parsed.channels, csv.etag, dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    )
    store.publish(accepted)
    yield dg.MaterializeResult(
        asset_key=SUBSCRIPTIONS,
        metadata=_metadata(accepted, previous, warning) | judged.metadata,
        data_version=dg.DataVersion(accepted.version),
    )


def _in_force(store: "SubscriptionStore") -> tuple[AcceptedSet | None, str]:
    """The set in force, or None and why it cannot be read.

    The set is only compared with, and a valid file replaces it.
    """
    from polygon_assets.clients.subscription_store import SubscriptionStoreError

    try:
        return store.accepted(), ""
    except SubscriptionStoreError as error:
        return (
            None,
            f"the set in force cannot be read, so every channel counts as added: {error}",
        )


def _judgement(bad_lines: tuple[BadLine, ...], previous: AcceptedSet | None) -> dg.AssetCheckResult:
    metadata: dict[str, dg.MetadataValue] = {
        "bad_lines": dg.MetadataValue.int(len(bad_lines)),
        "in_force_before": dg.MetadataValue.text(previous.version if previous else "none"),
    }
    if bad_lines:
        metadata["lines"] = dg.MetadataValue.md("\n".join(f"* {line}" for line in bad_lines))
    return dg.AssetCheckResult(
        passed=not bad_lines,
        asset_key=SUBSCRIPTIONS,
        check_name=EVERY_LINE_VALID.name,
        description="\n".join(map(str, bad_lines)) if bad_lines else "every line is valid",
        metadata=metadata,
    )


def _metadata(
    accepted: AcceptedSet, previous: AcceptedSet | None, warning: str
) -> dict[str, dg.MetadataValue]:
    change = difference(previous.channels if previous else (), accepted.channels)
    return {
        **({"warning": dg.MetadataValue.text(warning)} if warning else {}),
        "version": dg.MetadataValue.text(accepted.version),
        "previous_version": dg.MetadataValue.text(previous.version if previous else "none"),
        "channels": dg.MetadataValue.int(len(accepted.channels)),
        "added": dg.MetadataValue.int(len(change.added)),
        "removed": dg.MetadataValue.int(len(change.removed)),
        "difference": dg.MetadataValue.md(as_diff(change.added, change.removed)),
    }
