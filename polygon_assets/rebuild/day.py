"""Rebuilds one trading day from the archive in a scratch table, and compares it key by key.

Add a step of the rebuilding here; which symbols are compared belongs to `subscribed`. The filter's
own rules and the sink's own conversion make the rows, so a difference is one of the data.
"""

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, get_args

from polygon_assets.clients.archive_store import ONE_HOUR, ArchiveStore
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.events.validation import refusal_reason, to_row
from polygon_assets.market_calendar import NEW_YORK, ONE_DAY
from polygon_assets.messages import UNREADABLE, RawAggregate, decode_raw, encode
from polygon_assets.rebuild.subscribed import Receipts, uncompared
from polygon_assets.subscriptions import AcceptedSet

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

INSERT_ROWS = 50_000
MOST_EXAMPLES = 5
ABANDONED_AFTER = ONE_DAY
"""No rebuild takes that long: an older scratch table belongs to one that was killed."""
Outcome = Literal["equal", "missing", "surplus", "different"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_QUERIES = resources.files("polygon_assets.rebuild") / "queries"


class NothingArchivedError(PolygonAssetsError):
    """The archive has no event of the day, so nothing can be proved."""


@dataclass(frozen=True)
class Example:
    """A second that is not equal, and how."""

    symbol: str
    start: dt.datetime
    detail: str


@dataclass
class Comparison:
    """Seconds by outcome: `missing` in the table, `surplus` in the table, `different`, `equal`."""

    rows: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    examples: dict[Outcome, list[Example]] = field(
        default_factory=lambda: {outcome: [] for outcome in OUTCOMES}
    )
    """The first few of each outcome but `equal`."""

    @property
    def is_equal(self) -> bool:
        return sum(self.rows.values()) == self.rows["equal"]


@dataclass
class Archived:
    """What the archive has of a day."""

    events: int = 0
    refused: int = 0
    """Events that the filter's rules refuse; they became dead letters."""
    receipts: dict[str, Receipts] = field(default_factory=dict)


class RebuiltDay:
    """A day in its scratch table. Methods raise clickhouse_connect's errors."""

    def __init__(
        self, client: "Client", day: dt.date, table: str, archived: Archived, skipped: Sequence[str]
    ) -> None:
        self.archived = archived
        self.uncompared = skipped
        """Symbols that were received, but not subscribed all the time."""
        self._client = client
        self._day = day
        self._table = table

    def compare(self) -> Comparison:
        """Compare the day with the stored one, an hour at a time, so that memory stays small."""
        comparison = Comparison()
        for window in self._windows():
            rows = self._client.query(_load("compare"), parameters=window).result_rows
            for outcome, count, keys in rows:
                comparison.rows[outcome] += count
                shown = comparison.examples[outcome]
                for start, symbol in keys[: MOST_EXAMPLES - len(shown)]:
                    shown.append(self._example(symbol, start.replace(tzinfo=dt.UTC)))
        return comparison

    def replace(self) -> None:
        """Insert each archived second that the stored table lacks.

        Also one whose stored row differs and is not newer.
        """
        for window in self._windows():
            self._client.command(_load("replace"), parameters=window)

    def _windows(self) -> Iterator[dict[str, Any]]:
        for hour in hours_of(self._day):
            yield {
                "table": self._table,
                "from": hour,
                "to": hour + ONE_HOUR,
                "uncompared": list(self.uncompared),
            }

    def _example(self, symbol: str, start: dt.datetime) -> Example:
        archived = self._second(self._table, symbol, start)
        stored = self._second("stock_aggregates", symbol, start)
        if not stored:
            detail = f"archived: close {archived['close']}, received {archived['received_at']}"
        elif not archived:
            detail = f"stored: close {stored['close']}, received {stored['received_at']}"
        else:
            detail = "; ".join(
                f"{name}: archived {archived[name]}, stored {stored[name]}"
                for name in archived
                if archived[name] != stored[name]
            )
        return Example(symbol, start, detail)

    def _second(self, table: str, symbol: str, start: dt.datetime) -> dict[str, Any]:
        """The columns of a second; empty without one."""
        parameters = {"table": table, "symbol": symbol, "start": start}
        rows = self._client.query(_load("second"), parameters=parameters).named_results()
        return next((dict(row) for row in rows), {})


@contextmanager
def rebuilt(
    client: "Client", store: ArchiveStore, day: dt.date, history: Sequence[AcceptedSet]
) -> Iterator[RebuiltDay]:
    """The day, rebuilt in a scratch table that is dropped at the end.

    `history` are all accepted sets. Raises ArchiveStoreError, NothingArchivedError and
    clickhouse_connect's errors.
    """
    _drop_abandoned(client, dt.datetime.now(dt.UTC) - ABANDONED_AFTER)
    table = f"rebuild_{day:%Y%m%d}_{uuid.uuid4().hex[:8]}"
    client.command(_load("create_scratch"), parameters={"table": table})
    try:
        archived = _fill(client, store, day, table)
        if not archived.events:
            raise NothingArchivedError(
                f"no event of {day} is archived under {store.address}: the archiver did not run, "
                "or ARCHIVE_BUCKET and ARCHIVE_PREFIX name another archive"
            )
        skipped = uncompared(archived.receipts, history)
        yield RebuiltDay(client, day, table, archived, skipped)
    finally:
        client.command(_load("drop_scratch"), parameters={"table": table})


def _drop_abandoned(client: "Client", before: dt.datetime) -> None:
    """Drop the scratch tables that killed rebuilds left before a moment."""
    rows = client.query(_load("abandoned_scratch"), parameters={"before": before}).result_rows
    for (table,) in rows:
        client.command(_load("drop_scratch"), parameters={"table": table})


def hours_of(day: dt.date) -> list[dt.datetime]:
    """The 24 hours of a New York day in UTC; 23 or 25 where the clocks change."""
    hour, end = _midnight(day), _midnight(day + ONE_DAY)
    hours = []
    while hour < end:
        hours.append(hour)
        hour += ONE_HOUR
    return hours


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(0), NEW_YORK).astimezone(dt.UTC)


def _fill(client: "Client", store: ArchiveStore, day: dt.date, table: str) -> Archived:
    """Insert every valid event of the day's objects; the newest version of a second wins there."""
    archived, rows = Archived(), list[bytes]()
    for event in _events(store, day, archived):
        rows.append(encode(to_row(event)))
        if len(rows) >= INSERT_ROWS:
            _insert(client, table, rows)
            rows = []
    if rows:
        _insert(client, table, rows)
    return archived


def _events(store: ArchiveStore, day: dt.date, archived: Archived) -> Iterator[RawAggregate]:
    """The valid events of the day, counted in `archived`."""
    for hour in hours_of(day):
        for name in store.names(hour):
            for value in store.read(name):
                archived.events += 1
                if (event := _valid(value)) is None:
                    archived.refused += 1
                    continue
                times = archived.receipts.setdefault(
                    event.symbol, Receipts(event.received_at, event.received_at)
                )
                times.add(event.received_at)
                yield event


def _valid(value: bytes) -> RawAggregate | None:
    """The event that the filter would accept, or None."""
    try:
        event = decode_raw(value)
    except UNREADABLE:
        return None
    return None if refusal_reason(event) else event


def _insert(client: "Client", table: str, rows: list[bytes]) -> None:
    from polygon_assets.streaming.rows import to_table

    client.insert_arrow(f"market.{table}", to_table(rows))


@cache
def _load(name: str) -> str:
    return (_QUERIES / f"{name}.sql").read_text()
