"""The marts: tables computed from RAW for reports and comparison, each by one SQL file.

Add a mart to `columns` and its query as an SQL file; writing RAW belongs to `batch.raw`. `build`
fills the marts, `lineage` derives each column's sources, `findings` queries possible defects.
"""

from polygon_assets.batch.marts.build import build, replace_day, sample
from polygon_assets.batch.marts.columns import MARTS, Mart
from polygon_assets.batch.marts.lineage import column_lineage, upstreams

__all__ = ["MARTS", "Mart", "build", "column_lineage", "replace_day", "sample", "upstreams"]
