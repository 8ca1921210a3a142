"""When a partition was last materialized, as Dagster's event log has it.

Add a question about materializations here; what follows from the answer belongs to `decisions`.
"""

import datetime as dt
from collections.abc import Collection, Iterable

import dagster as dg

MOST_EVENTS = 10_000
"""Dagster refuses to read more at once."""


def materialized_at(
    instance: dg.DagsterInstance, key: dg.AssetKey, days: Collection[dt.date]
) -> dict[dt.date, dt.datetime]:
    """When each of the days was last materialized."""
    if not days:
        return {}
    partitions = sorted(day.isoformat() for day in days)
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(key, asset_partitions=partitions),
        limit=min(10 * len(days), MOST_EVENTS),
    ).records
    # Oldest first, so that of several loads of one day the last one stays.
    return dict(_moments(records[::-1]))


def _moments(records: Iterable[dg.EventLogRecord]) -> Iterable[tuple[dt.date, dt.datetime]]:
    for record in records:
        if record.partition_key:
            at = dt.datetime.fromtimestamp(record.timestamp, dt.UTC)
            yield dt.date.fromisoformat(record.partition_key), at
