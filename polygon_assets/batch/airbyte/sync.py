"""What an Airbyte sync that succeeded has brought, as plain values.

How a sync is started and followed belongs to `defs.batch.airbyte_sync`, because dagster-airbyte
does it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from polygon_assets.clients.airbyte import StreamCounts


@dataclass(frozen=True)
class Sync:
    """A sync that succeeded."""

    job_id: int
    seconds: float
    link: str
    """To the connection's history in Airbyte's UI."""
    streams: Mapping[str, StreamCounts] = field(default_factory=dict)

    def metadata(self, stream: str) -> dict[str, int | float | str]:
        """What the asset's page shows of one stream's table."""
        return {
            "rows_synced": self.streams.get(stream, StreamCounts(0, 0)).committed,
            "airbyte_job": self.job_id,
            "airbyte_connection": self.link,
            "sync_seconds": round(self.seconds, 1),
        }
