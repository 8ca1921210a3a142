"""When rows become queryable: looks at ClickHouse often and notes what is new since the last look.

A row counts as queryable when the answer that first holds it has arrived, so every latency is up to one interval of looking too long.
"""

import time
from collections import Counter
from collections.abc import Iterable

from clickhouse_connect.driver.client import Client

from bench.data import HOLD_US

LOOK_BACK_MS = 10_000

NEW_ROWS = """
    SELECT toUnixTimestamp64Milli(start_timestamp) AS start_ms, toUnixTimestamp64Micro(received_at) AS received_us, count()
    FROM market.stock_recent
    WHERE start_timestamp >= fromUnixTimestamp64Milli({since_ms:Int64})
    GROUP BY start_ms, received_us
"""

Weighted = list[tuple[float, int]]
"""Seconds, with the number of rows they hold for."""


class Lookout:
    """What has been seen so far, by second and arrival; all rows of one frame have the same `received_at`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seen: Counter[tuple[int, int]] = Counter()
        self._by_second: Counter[int] = Counter()
        self._since_ms = int(time.time() * 1000) - LOOK_BACK_MS
        self.after_due: Weighted = []
        """From the moment at which the exchange should send the row (end of the second + hold) until it is queryable."""
        self.after_received: Weighted = []
        """From the producer's `received_at` until it is queryable."""

    def look(self, *, note: bool = True) -> None:
        """One query. Without `note` what is new is only marked as seen."""
        rows = self._client.query(NEW_ROWS, parameters={"since_ms": self._since_ms}).result_rows
        now_us = time.time_ns() // 1000
        for start_ms, received_us, count in rows:
            new = count - self._seen[start_ms, received_us]
            self._seen[start_ms, received_us] = count
            self._by_second[start_ms] += new
            if new and note:
                self.after_due.append(((now_us - start_ms * 1000 - 1_000_000 - HOLD_US) / 1e6, new))
                self.after_received.append(((now_us - received_us) / 1e6, new))
        self._since_ms = self._oldest_of_interest()

    def _oldest_of_interest(self) -> int:
        """The oldest second that is not yet complete, but some seconds back in any case."""
        if not self._by_second:
            return self._since_ms
        recent = max(self._by_second) - LOOK_BACK_MS
        whole = max(self._by_second.values())
        open_seconds = [
            start
            for start, count in self._by_second.items()
            if count < whole and start >= self._since_ms
        ]
        return min([recent, *open_seconds])


def quantile(values: Iterable[tuple[float, int]], share: float) -> float:
    """The value below which `share` of the rows lie."""
    ordered = sorted(values)
    wanted = share * sum(rows for _, rows in ordered)
    for value, rows in ordered:
        wanted -= rows
        if wanted <= 0:
            return value
    raise ValueError("no row was seen")
