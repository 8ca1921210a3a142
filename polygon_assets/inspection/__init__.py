"""What is true of the running system now: heartbeats, offsets, gaps, rows, read with a deadline.

Add a read-only question about the system here; what follows from the answer belongs to `defs`.
Nothing here starts, changes or stores anything.
"""

from polygon_assets.errors import PolygonAssetsError


class InspectionError(PolygonAssetsError):
    """A system did not answer; the message names it and the cause."""


class KafkaUnreachableError(InspectionError):
    """No broker answered in time."""


class ClickHouseUnreachableError(InspectionError):
    """ClickHouse did not answer, or refused the query."""


class WarehouseUnreachableError(InspectionError):
    """Snowflake did not answer, or refused the query."""
