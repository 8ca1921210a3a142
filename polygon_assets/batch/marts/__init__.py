"""The marts: tables made of RAW for people and for comparison, each by one SQL file that says what its rows are.

`tables` declares them, `build` fills them, `lineage` says what each column is made of, `findings` asks what may be wrong with them.
"""

from polygon_assets.batch.marts.build import build, replace_day
from polygon_assets.batch.marts.lineage import column_lineage, upstreams
from polygon_assets.batch.marts.tables import MARTS, Mart

__all__ = ["MARTS", "Mart", "build", "column_lineage", "replace_day", "upstreams"]
