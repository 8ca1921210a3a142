"""A gap is an interval in which events may have been missed; `fill` fetches its seconds by REST.

Add what happens to a gap after the producer has reported it here; what becomes a gap belongs to
`streaming.gap_tracker`, the ledger's table to `serving`, and jobs and sensors to `defs`.
"""

from polygon_assets.errors import PolygonAssetsError


class GapFillError(PolygonAssetsError):
    """A gap could not be filled now; it stays in the ledger and is tried again."""
