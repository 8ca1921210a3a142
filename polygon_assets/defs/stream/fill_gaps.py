"""The job that fills gaps, and the sensor that records and asks for them.

Add how Dagster runs a fill here; which gap is due, and what a fill does, belongs to `gap_filling`.
"""

import datetime as dt
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from polygon_assets.clients import market_clock
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.graph.runs import (
    ACTIVE,
    FailOrphanedRun,
    RunFacts,
    Wait,
    fail_orphaned_run,
    failures_in_a_row,
    log_while_running,
    newest_run_id,
    orphan,
    pause_after,
    retry_at,
    run_facts,
)
from polygon_assets.defs.stream.open_days import RECORDED_DAYS_BACK, open_days
from polygon_assets.gap_filling import decisions
from polygon_assets.gap_filling.record import record, record_subscription_sets
from polygon_assets.inspection import InspectionError, gaps
from polygon_assets.market_clock import MarketClock
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import WHOLE_MARKET_SYMBOLS

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from polygon_assets.gap_filling.fill import GapFiller

GAP_FILL_TAG = "polygon/gap_fill"
GAP_FILLER = "gap_filler"
FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(seconds=15), dt.timedelta(minutes=30)
LONGEST_NOTE = 500
OVERWRITTEN_WITHIN_SECONDS = 1.0
LONGEST_SILENCE = dt.timedelta(minutes=3)
"""A living fill writes a line once a minute."""


class GapsToFill(dg.Config):
    """Run configuration of a fill."""

    gap_ids: list[str] = Field(
        default=[],
        description="The gaps to fill, by their ids in `clickhouse/stream_gaps`; empty: all that "
        "are not verified or waived, those that wait for a person included.",
    )


class GapsToWaive(dg.Config):
    """Run configuration of a waiver."""

    gap_ids: list[str] = Field(description="The gaps, by their ids in `clickhouse/stream_gaps`.")
    reason: str = Field(description="Why the missing seconds are accepted; kept in the ledger.")


@dg.op(
    name="fill",
    description="Fetches the seconds of gaps by REST, publishes what the tables lack to "
    "`kafka/polygon_stream_aggregates`, and compares each second with the stored row.",
)
def fill(context: dg.OpExecutionContext, config: GapsToFill, environment: Environment) -> None:
    from clickhouse_connect.driver.exceptions import Error

    from polygon_assets.clients import clickhouse
    from polygon_assets.clients.polygon_answers import PolygonUnavailableError
    from polygon_assets.gap_filling.fill import GapFiller

    settings = environment.settings()
    try:
        with (
            log_while_running(context.log),
            closing(clickhouse.connect(settings)) as client,
            closing(GapFiller(settings, context.log.info)) as filler,
        ):
            chosen = _chosen(gap_ledger.read(client), config.gap_ids)
            failed = [
                failure
                for group in decisions.fetched_together(chosen)
                for failure in _fill_together(context, client, filler, group, environment.clock())
            ]
    except (Error, PolygonUnavailableError) as error:
        raise dg.Failure(f"{error}; the gaps stay in the ledger", allow_retries=False) from error
    if failed:
        raise dg.Failure(
            f"{len(failed)} of {len(chosen)} gap(s) stay in the ledger: {'; '.join(failed)}",
            allow_retries=False,
        )


def _fill_together(
    context: dg.OpExecutionContext,
    client: "Client",
    filler: "GapFiller",
    group: Sequence[GapEntry],
    clock: MarketClock,
) -> list[str]:
    """Fill gaps and store their new states; why each failed, so that the next ones go on."""
    from polygon_assets.clients.polygon_answers import PolygonApiError, PolygonUnavailableError
    from polygon_assets.clients.subscription_store import SubscriptionStoreError
    from polygon_assets.gap_filling import GapFillError

    gaps = [gap for gap in group if _store_unless_waived(client, replace(gap, state="filling"))]
    if not gaps:
        return []
    try:
        filled = filler.fill_together(gaps, clock.market(_now()))
    except PolygonUnavailableError:
        raise
    except (GapFillError, PolygonApiError, SubscriptionStoreError) as error:
        for gap in gaps:
            context.log.warning("%s: %s", gap.gap_id, error)
            _store_unless_waived(client, replace(gap, note=str(error)[:LONGEST_NOTE]))
        return [f"{gap.gap_id}: {error}" for gap in gaps]
    for gap in filled:
        _store_unless_waived(client, gap)
        context.log.info(
            f"{gap.gap_id}: {gap.state}; {gap.rows_found:,} seconds by REST, "
            f"{gap.rows_added:,} added, {gap.rows_corrected:,} corrected"
            + (f"; {gap.note}" if gap.note else "")
        )
    return []


def _store_unless_waived(client: "Client", entry: GapEntry) -> bool:
    """Store a new state, but not over a person's waiver, which may have come meanwhile."""
    known = {stored.gap_id: stored for stored in gap_ledger.read(client)}
    if known[entry.gap_id].state == "waived":
        return False
    gap_ledger.store(client, [entry], _now())
    return True


@dg.op(name="waive", description="Marks gaps as accepted by a person: they keep no day open.")
def waive(context: dg.OpExecutionContext, config: GapsToWaive, environment: Environment) -> None:
    from polygon_assets.clients import clickhouse

    if not config.gap_ids or not config.reason.strip():
        raise dg.Failure("name the gaps (gap_ids) and the reason", allow_retries=False)
    with closing(clickhouse.connect(environment.settings())) as client:
        while entries := _not_waived(client, config):
            waived = [replace(entry, state="waived", note=config.reason) for entry in entries]
            gap_ledger.store(client, waived, _now())
            # A fill that had just read the ledger may store its own state over the waiver.
            time.sleep(OVERWRITTEN_WITHIN_SECONDS)
    context.log.info(f"waived {len(config.gap_ids)} gap(s): {config.reason}")


def _not_waived(client: "Client", config: GapsToWaive) -> list[GapEntry]:
    entries = _chosen(gap_ledger.read(client), config.gap_ids)
    return [entry for entry in entries if (entry.state, entry.note) != ("waived", config.reason)]


def _chosen(entries: Sequence[GapEntry], gap_ids: Sequence[str]) -> list[GapEntry]:
    """The gaps of these ids, or all that are not settled. Raises Failure for an unknown id."""
    if not gap_ids:
        return gaps.unsettled(entries)
    known = {entry.gap_id: entry for entry in entries}
    if unknown := [gap_id for gap_id in gap_ids if gap_id not in known]:
        raise dg.Failure(
            f"no gap has the id {', '.join(unknown)}; `polygon-assets gaps --json` lists the ids",
            allow_retries=False,
        )
    return [known[gap_id] for gap_id in gap_ids]


@dg.job(
    description="Fills gaps of the stream by REST. The sensor `gap_filler` launches it; without "
    "run configuration it fills every gap that is left, those above the limits included.",
    tags={GAP_FILL_TAG: "fill"},
)
def fill_gaps() -> None:
    fill()


@dg.job(
    description="Accepts gaps that cannot be filled: their days may be closed without them.",
)
def waive_gaps() -> None:
    waive()


@dataclass(frozen=True)
class Fill:
    """Launch a run that fills these gaps."""

    gap_ids: list[str]
    run_key: str


def decide(
    due: Sequence[GapEntry], runs: Sequence[RunFacts], now: dt.datetime
) -> Fill | FailOrphanedRun | Wait:
    """Whether to launch a fill; `runs` of the job are newest first, `now` is wall time."""
    if active := next((run for run in runs if run.status in ACTIVE), None):
        return orphan(active, LONGEST_SILENCE, now) or Wait(
            f"run {active.short_id} is {active.status.value.lower()}"
        )
    if not due:
        return Wait("no gap is due")
    failures = failures_in_a_row(runs)
    pause = pause_after(failures, FIRST_PAUSE, LONGEST_PAUSE)
    if failures and not _is_new(due[0], runs[0]) and (wait := retry_at(runs[0], pause, now)):
        return wait
    return Fill([entry.gap_id for entry in due], f"{newest_run_id(runs)}:{due[0].gap_id}")


def _is_new(entry: GapEntry, last: RunFacts) -> bool:
    """Whether a gap was recorded after the last run: that run's failure says nothing about it."""
    return (
        entry.state == "open"
        and not entry.note
        and entry.updated_at is not None
        and entry.updated_at > last.ended_or_created_at
    )


@dg.sensor(
    name=GAP_FILLER,
    job=fill_gaps,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Records gaps in the ledger `clickhouse/stream_gaps` and launches their fills, "
    "oldest first. A gap above GAP_FILL_MAX_SECONDS or GAP_FILL_MAX_REQUESTS waits until a person "
    "launches the job `fill_gaps`.",
)
def gap_filler(
    context: dg.SensorEvaluationContext, environment: Environment
) -> dg.SensorResult | dg.SkipReason:
    from clickhouse_connect.driver.exceptions import Error

    from polygon_assets.clients import clickhouse
    from polygon_assets.clients.subscription_store import SubscriptionStoreError

    settings, now = environment.settings(), _now()
    if missing := missing_settings(settings, "gap_filler"):
        return dg.SkipReason(not_set(missing))
    try:
        clock, calendar = environment.clock(), environment.calendar()
        entries = gaps.ledger(settings)
        days = open_days(context.instance, calendar, clock.market(now), entries, RECORDED_DAYS_BACK)
        for entry in record(settings, calendar, clock, days, now):
            context.log.info("recorded %s: %s", entry.gap_id, entry.cause)
        entries = gaps.ledger(settings)
        market = decisions.Market(calendar, _symbol_count(settings))
        limits = _limits(settings)
        with closing(clickhouse.connect(settings)) as client:
            waiting = decisions.newly_waiting(entries, market, limits)
            gap_ledger.store(client, waiting, now)
    except (InspectionError, Error, market_clock.MarketClockError) as error:
        return dg.SkipReason(f"the ledger cannot be brought up to date: {error}")
    try:
        record_subscription_sets(settings, now)
    except (Error, SubscriptionStoreError) as error:
        context.log.warning("what was subscribed when is not stored yet: %s", error)
    due = decisions.next_to_fill(entries, market, limits, clock.market(now))
    answer = decide(due, run_facts(context.instance, dg.RunsFilter(job_name=fill_gaps.name)), now)
    if isinstance(answer, FailOrphanedRun):
        fail_orphaned_run(context, GAP_FILLER, answer)
        return dg.SkipReason(answer.reason)
    if isinstance(answer, Wait):
        return dg.SkipReason(answer.reason)
    config = dg.RunConfig(ops={"fill": GapsToFill(gap_ids=answer.gap_ids)})
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=answer.run_key, run_config=config)])


def _limits(settings: Settings) -> decisions.Limits:
    return decisions.Limits(settings.gap_fill_max_seconds, settings.gap_fill_max_requests)


def _symbol_count(settings: Settings) -> int:
    """The subscribed symbols; those of the whole market with `A.*`."""
    from polygon_assets.clients import subscription_store

    try:
        accepted = subscription_store.connect(settings).accepted()
    except subscription_store.SubscriptionStoreError:
        accepted = None
    if accepted is None or accepted.symbols is None:
        return WHOLE_MARKET_SYMBOLS
    return len(accepted.symbols)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
