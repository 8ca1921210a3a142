"""What Airbyte holds: the connections whose last finished sync failed, and why.

Add a question about Airbyte's jobs here; running a sync belongs to `defs.batch.airbyte_sync`.
"""

from collections.abc import Collection
from contextlib import closing

from polygon_assets.clients.airbyte.api import AirbyteApi
from polygon_assets.clients.airbyte.job_outcome import RUNNING_STATUSES
from polygon_assets.settings import Settings

RECENT_JOBS = 5
"""Airbyte runs one job of a connection at a time, so one of five has ended."""


def failed_syncs(settings: Settings, connections: Collection[str]) -> dict[str, str]:
    """By connection, why its last finished sync failed; the others are left out.

    A cancelled sync counts as finished: a person stopped it. Raises AirbyteError.
    """
    with closing(AirbyteApi(settings, patience_seconds=0)) as api:
        ids = {known["name"]: str(known["connectionId"]) for known in api.connections()}
        reasons = {name: _failure(api, ids[name]) for name in connections if name in ids}
    return {name: reason for name, reason in reasons.items() if reason}


def _failure(api: AirbyteApi, connection_id: str) -> str:
    jobs = api.jobs(connection_id, RECENT_JOBS)
    ended = next((job for job in jobs if job["status"] not in RUNNING_STATUSES), None)
    if ended is None or ended["status"] != "failed":
        return ""
    outcome = api.outcome(int(ended["jobId"]))
    return f"Airbyte's job {outcome.job_id} failed: {outcome.reason}"
