"""Which symbols of a day can be compared: those that the filter can only have kept.

Change the rule here; the accepted sets themselves belong to `clients.subscription_store`. The
archive has everything received, the table what was subscribed when the filter judged it. That time
is not recorded, so a symbol counts only if it was subscribed whenever it may have been.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from polygon_assets.subscriptions import AcceptedSet

JUDGED_WITHIN = dt.timedelta(hours=24)
"""The filter judges a message so soon after its receipt; an outage may last a night."""


@dataclass
class Receipts:
    """When the first and the last event of a symbol were received, in Unix microseconds."""

    first_us: int
    last_us: int

    def add(self, received_us: int) -> None:
        self.first_us = min(self.first_us, received_us)
        self.last_us = max(self.last_us, received_us)


def uncompared(receipts: Mapping[str, Receipts], history: Iterable[AcceptedSet]) -> list[str]:
    """The received symbols that were not subscribed all the time, sorted.

    A symbol is compared if each set in force from its first receipt until 24 hours after its last
    one has it. Before the first known set nothing is known to be subscribed.
    """
    sets = [(_us(accepted), accepted.symbols) for accepted in history]
    sets.sort(key=lambda dated: dated[0])
    return sorted(
        symbol for symbol, times in receipts.items() if not _always_has(sets, symbol, times)
    )


def _always_has(
    sets: Sequence[tuple[int, frozenset[str] | None]], symbol: str, times: Receipts
) -> bool:
    until_us = times.last_us + round(JUDGED_WITHIN.total_seconds() * 1e6)
    before = [symbols for since_us, symbols in sets if since_us <= times.first_us]
    during = [symbols for since_us, symbols in sets if times.first_us < since_us <= until_us]
    return bool(before) and all(
        symbols is None or symbol in symbols for symbols in (before[-1], *during)
    )


def _us(accepted: AcceptedSet) -> int:
    return round(dt.datetime.fromisoformat(accepted.accepted_at).timestamp() * 1e6)
