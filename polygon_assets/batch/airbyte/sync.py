"""The result of a successful Airbyte sync, as plain values.

Add a fact about a finished sync here; starting and following a sync belongs to
`defs.batch.airbyte_sync`, because dagster-airbyte does it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from polygon_assets.clients.airbyte.job_outcome import StreamCounts


@dataclass(frozen=True)
class Sync:
    """A sync that succeeded."""

    job_id: int
    seconds: float
    link: str
    """Address of the connection's history in Airbyte's UI."""
    streams: Mapping[str, StreamCounts] = field(default_factory=dict)

    def metadata(self, stream: str) -> dict[str, int | float | str]:
        """Dagster metadata of the table of one stream."""
        return {
            "rows_synced": self.streams.get(stream, StreamCounts(0, 0)).committed,
            "airbyte_job": self.job_id,
            "airbyte_connection": self.link,
            "sync_seconds": round(self.seconds, 1),
        }
