"""How long `market.stock_versions` keeps versions: its TTL, set to STOCK_VERSIONS_DAYS.

Change when versions expire here; the table itself belongs to `migrations`. The TTL is not in a
numbered file, because an applied file is never edited, while a person may change the setting.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TABLE = "market.stock_versions"
_TTL = re.compile(r"\bTTL toDateTime\(received_at\) \+ toIntervalDay\((\d+)\)")


def set_retention(client: "Client", days: int) -> bool:
    """Let versions expire `days` after their receipt, 0 for never; False if it was so already.

    The time of receipt counts, not that of the second: a TTL on the second would drop replayed and
    back-filled old days while they are loaded. ClickHouse applies a shorter TTL in the background.
    Raises clickhouse_connect's errors.
    """
    if days == _kept_days(client):
        return False
    change = (
        f"MODIFY TTL toDateTime(received_at) + toIntervalDay({days:d})" if days else "REMOVE TTL"
    )
    client.command(f"ALTER TABLE {TABLE} {change}")
    return True


def _kept_days(client: "Client") -> int:
    """The days of the present TTL; 0 without one, -1 for one that we did not set."""
    engine = str(
        client.query(
            "SELECT engine_full FROM system.tables "
            "WHERE database = 'market' AND name = 'stock_versions'"
        ).result_rows[0][0]
    )
    if days := _TTL.search(engine):
        return int(days[1])
    return -1 if " TTL " in engine else 0
