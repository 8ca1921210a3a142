"""The table `market.alerts`: every alert that fired, and until when.

Add a column of the table here; when an alert fires belongs to `inspection.alert_rules`, and sending
it to `defs.graph.alert_sensor`.
"""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polygon_assets.serving.queries import load

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TABLE = "market.alerts"
COLUMNS = ("alert", "subject", "since", "until", "detail", "updated_at")


@dataclass(frozen=True)
class FiringAlert:
    """An alert that fires; `since` has whole milliseconds, as the table stores them."""

    alert: str
    subject: str
    """What it is about, such as a program; empty where there is only one."""
    since: dt.datetime
    detail: str

    @property
    def key(self) -> tuple[str, str, dt.datetime]:
        return self.alert, self.subject, self.since


def read(client: "Client") -> list[FiringAlert]:
    """The alerts that fire, oldest first. Raises clickhouse_connect's errors."""
    rows = client.query(load("firing_alerts"), tz_mode="aware").named_results()
    return [FiringAlert(**row) for row in rows]


def store(client: "Client", firing: Collection[FiringAlert], now: dt.datetime) -> None:
    """Store the newly firing alerts, and the end of those that no longer fire.

    Raises clickhouse_connect's errors.
    """
    stored = {alert.key: alert for alert in read(client)}
    wanted = {alert.key: alert for alert in firing}
    begun = [(wanted[key], None) for key in wanted.keys() - stored.keys()]
    ended = [(stored[key], now) for key in stored.keys() - wanted.keys()]
    rows = [(*alert.key, until, alert.detail, now) for alert, until in (*begun, *ended)]
    if rows:
        client.insert(TABLE, rows, column_names=COLUMNS)
