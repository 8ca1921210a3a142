"""Airbyte's calls that only tests make: the project starts syncs by dagster-airbyte.

Calls of the project belong to `polygon_assets.clients.airbyte.api`.
"""

from polygon_assets.clients.airbyte.api import AirbyteApi
from polygon_assets.clients.airbyte.transport import Json


class AirbyteCalls(AirbyteApi):
    """The project's client with further calls."""

    def workspace(self) -> Json:
        """The workspace itself; an answer proves that address, credentials and id are right."""
        return self._transport.get(f"/workspaces/{self.workspace_id}")

    def source(self, source_id: str) -> Json:
        """One source, with `**********` in place of each secret of its configuration."""
        return self._transport.get(f"/sources/{source_id}")

    def delete(self, path: str) -> None:
        """Delete an object, such as `/sources/ID`, with what depends on it."""
        self._transport.call("DELETE", path)

    def start_sync(self, connection_id: str) -> int:
        """Start a sync and return the id of its job.

        Raises AirbyteError with status 409 while another sync of the connection is running.
        """
        job = self._transport.call(
            "POST", "/jobs", {"connectionId": connection_id, "jobType": "sync"}, repeatable=False
        )
        return int(job["jobId"])

    def job(self, job_id: int) -> Json:
        return self._transport.get(f"/jobs/{job_id}")

    def cancel(self, job_id: int) -> Json:
        """Cancel a job and return its new state.

        Raises AirbyteError with status 409 when the job is not running.
        """
        return self._transport.call("DELETE", f"/jobs/{job_id}", repeatable=False)
