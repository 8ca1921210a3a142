"""One Airbyte sync: started or joined, followed to its end, and explained where it failed.

dagster-airbyte runs a sync and cancels it with the run, but reports only the job's number of a
failure; the reason is read here. What a sync brought belongs to `batch.airbyte.sync`.
"""

import re
import time
from contextlib import closing

import dagster as dg

from polygon_assets.batch.airbyte.sync import Sync
from polygon_assets.clients.airbyte.api import AirbyteApi
from polygon_assets.clients.airbyte.job_outcome import JobOutcome
from polygon_assets.clients.airbyte.transport import AirbyteError
from polygon_assets.defs.graph.resources import Airbyte
from polygon_assets.settings import Settings

FAILED_JOB = re.compile(r"Job (?:failed|was cancelled): (\d+)")


def run_sync(airbyte: Airbyte, settings: Settings, connection: str) -> Sync:
    """Sync the connection of this name. Raises dg.Failure with the reason and the cure."""
    try:
        with closing(AirbyteApi(settings)) as api:
            return _run_sync(api, airbyte, settings, connection)
    except AirbyteError as error:
        raise dg.Failure(f"{connection}: {error}", allow_retries=False) from error


def connection_link(settings: Settings, connection_id: str) -> str:
    """The connection's page in the UI, which is served beside the configuration API.

    That is https://cloud.airbyte.com/api/v1 on Cloud and https://HOST/api/v1 elsewhere.
    """
    host = settings.airbyte_configuration_api_url.rstrip("/").removesuffix("/api/v1")
    return f"{host}/workspaces/{settings.airbyte_workspace_id}/connections/{connection_id}/timeline"


def _run_sync(api: AirbyteApi, airbyte: Airbyte, settings: Settings, connection: str) -> Sync:
    connection_id, began = api.connection_id(connection), time.monotonic()
    link = connection_link(settings, connection_id)
    try:
        output = airbyte.client(settings).sync_and_poll(connection_id)
    except dg.Failure as failure:
        raise _explained(api, connection, failure, link) from failure
    outcome = api.outcome(int(output.job_details["jobId"]))
    return Sync(outcome.job_id, time.monotonic() - began, link, outcome.streams)


def _explained(api: AirbyteApi, connection: str, failure: dg.Failure, link: str) -> dg.Failure:
    """A job's failure with Airbyte's reason and the committed rows; other failures unchanged."""
    message = failure.description or "failed without a reason"
    if not (job := FAILED_JOB.search(message)):
        return dg.Failure(
            f"{connection}: {message}",
            {"airbyte_connection": dg.MetadataValue.url(link)},
            allow_retries=False,
        )
    outcome = api.outcome(int(job[1]))
    return dg.Failure(
        _sentence(connection, outcome), _failure_metadata(outcome, link), allow_retries=False
    )


def _sentence(connection: str, outcome: JobOutcome) -> str:
    kept = (
        f"; {outcome.rows:,} rows are committed, and the next sync goes on from there"
        if outcome.rows
        else ""
    )
    reason = outcome.reason or "no reason given"
    return f"{connection}: Airbyte's job {outcome.job_id} {outcome.status}: {reason}{kept}"


def _failure_metadata(outcome: JobOutcome, link: str) -> dict[str, dg.MetadataValue]:
    rows = {
        f"rows_synced_{name}": dg.MetadataValue.int(counts.committed)
        for name, counts in outcome.streams.items()
    }
    return {
        "airbyte_job": dg.MetadataValue.int(outcome.job_id),
        "airbyte_connection": dg.MetadataValue.url(link),
        **rows,
    }
