"""How late rows become queryable: polls ClickHouse and records the rows that are new since then.

A row counts as queryable when the answer that first contains it has arrived, so every latency is
up to one polling interval too long.
"""

import time
from collections import Counter
from collections.abc import Iterable

from clickhouse_connect.driver.client import Client

from bench.data import HOLD_US

LOOK_BACK_MS = 10_000

NEW_ROWS = """
    SELECT toUnixTimestamp64Milli(start_timestamp) AS start_ms,
        toUnixTimestamp64Milli(received_at) AS received_ms, count()
    FROM market.stock_recent
    WHERE start_timestamp >= fromUnixTimestamp64Milli({since_ms:Int64})
    GROUP BY start_ms, received_ms
"""

Weighted = list[tuple[float, int]]
"""Pairs of a latency in seconds and the number of rows that have it."""


class LatencyPoller:
    """Counts the rows seen so far, by second and arrival.

    Arrivals count by the millisecond: each row has a stamp of its own, and a frame's rows have
    consecutive microseconds.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seen: Counter[tuple[int, int]] = Counter()
        self._by_second: Counter[int] = Counter()
        self._since_ms = int(time.time() * 1000) - LOOK_BACK_MS
        self.after_due: Weighted = []
        """From the due time at the exchange (end of the second + hold) until queryable."""
        self.after_received: Weighted = []
        """From the producer's `received_at` until queryable."""

    def poll(self, *, record: bool = True) -> None:
        """Run one query. Without `record`, new rows are only marked as seen."""
        rows = self._client.query(NEW_ROWS, parameters={"since_ms": self._since_ms}).result_rows
        now_us = time.time_ns() // 1000
        for start_ms, received_ms, count in rows:
            new = count - self._seen[start_ms, received_ms]
            self._seen[start_ms, received_ms] = count
            self._by_second[start_ms] += new
            if new and record:
                self.after_due.append(((now_us - start_ms * 1000 - 1_000_000 - HOLD_US) / 1e6, new))
                self.after_received.append(((now_us - received_ms * 1000) / 1e6, new))
        self._since_ms = self._oldest_open_second()

    def _oldest_open_second(self) -> int:
        """The oldest incomplete second, or LOOK_BACK_MS before the newest if that is older."""
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
    rows_left = share * sum(rows for _, rows in ordered)
    for value, rows in ordered:
        rows_left -= rows
        if rows_left <= 0:
            return value
    raise ValueError("no quantile of nothing: ClickHouse got no row during the measurement")
