"""Which channels are desired, requested, confirmed or refused on one connection, without any I/O.

Add a rule about the vendor's answers to requests here; sending them belongs to `producer`. The
vendor confirms each channel by name, refuses without a name, and does not answer a repeated
request; this ledger derives one state per channel.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from polygon_assets.clients.polygon_stream import REFUSALS, SUBSCRIBED, UNSUBSCRIBED
from polygon_assets.subscriptions import WILDCARD

ACKNOWLEDGE_SECONDS = 10.0
SETTLE_SECONDS = 1.0
"""A refusal may belong to a channel that is no longer desired, so the ledger waits
for a later answer."""
RETRY_SECONDS = 60.0
LARGEST_REQUEST = 500
"""Channels per request, as in other public clients: 4,000 names would make a 40 kB frame."""

UNREMARKABLE = ("connected", "auth_success", "success")
"""Statuses that need no reaction; any other is logged."""


@dataclass
class Plan:
    """Requests to send now, in this order; each a list of channels."""

    unsubscribe: list[list[str]] = field(default_factory=list)
    subscribe: list[list[str]] = field(default_factory=list)


class ChannelLedger:
    """The channels of one connection. Times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self.desired: frozenset[str] = frozenset()
        self.confirmed: set[str] = set()
        self._requested: dict[str, float] = {}
        self._failures: dict[str, tuple[str, float]] = {}
        self._anonymous_refusals = 0

    def plan(self, desired: Iterable[str], now: float) -> Plan:
        """The requests that lead to `desired`; a failed channel again after RETRY_SECONDS."""
        self.desired = frozenset(desired)
        self._expire(now)
        surplus = sorted(
            (self.confirmed | self._requested.keys() | self._failures.keys()) - self.desired
        )
        if WILDCARD in self.desired - self.confirmed:
            # The names stay until the wildcard is confirmed: no hole, and no loss if it is refused.
            surplus = []
        retry = sorted(
            name
            for name, (_, at) in self._failures.items()
            if name in self.desired and now >= at + RETRY_SECONDS
        )
        missing = sorted(
            self.desired - self.confirmed - self._requested.keys() - self._failures.keys()
        )
        for name in (*surplus, *retry):
            self._forget(name)
        self._requested.update(dict.fromkeys((*missing, *retry), now))
        # The vendor does not answer a repeated request that worked: a retry first unsubscribes.
        return Plan(_chunks([*surplus, *retry]), _chunks([*missing, *retry]))

    def acknowledge(self, status: str, message: str) -> str | None:
        """Take a status message; returns a sentence for the log, if it needs one."""
        if message.startswith(SUBSCRIBED):
            return self._confirm(message.removeprefix(SUBSCRIBED))
        if message.startswith(UNSUBSCRIBED):
            self.confirmed.discard(message.removeprefix(UNSUBSCRIBED))
            return None
        if status.lower() in REFUSALS and self._requested:
            self._anonymous_refusals += 1
            return f"the vendor refused a channel of the last request without naming it: {message}"
        return None if status in UNREMARKABLE else f"the vendor sent status {status!r}: {message}"

    def unconfirmed(self) -> list[str]:
        """Each desired channel that is not confirmed, with the reason."""
        return [f"{name}: {self._reason(name)}" for name in sorted(self.desired - self.confirmed)]

    def _reason(self, name: str) -> str:
        return self._failures[name][0] if name in self._failures else UNANSWERED_YET

    @property
    def settled(self) -> bool:
        """Every requested channel is confirmed, or has a reason not to be."""
        return not self._requested

    @property
    def all_refused(self) -> bool:
        """Every desired channel was refused and none confirmed: the plan has no such data."""
        return (
            bool(self.desired)
            and not self.confirmed
            and all(self._failures.get(name, ("",))[0] == REFUSED for name in self.desired)
        )

    def _confirm(self, name: str) -> str | None:
        self._requested.pop(name, None)
        self._failures.pop(name, None)
        if name in self.desired:
            self.confirmed.add(name)
            return None
        return f"the vendor confirmed {name}, which is no longer desired"

    def _expire(self, now: float) -> None:
        """Turn requests without an answer into failures.

        Refusals name no channel. Once there are as many as unanswered channels, all of them were
        refused.
        """
        patience = (
            SETTLE_SECONDS
            if self._anonymous_refusals >= len(self._requested)
            else ACKNOWLEDGE_SECONDS
        )
        expired = [name for name, at in self._requested.items() if now >= at + patience]
        reason = REFUSED if expired and self._anonymous_refusals >= len(expired) else UNANSWERED
        for name in expired:
            del self._requested[name]
            self._failures[name] = (reason, now)
        if expired:
            self._anonymous_refusals = 0

    def _forget(self, name: str) -> None:
        self._requested.pop(name, None)
        self._failures.pop(name, None)
        self.confirmed.discard(name)


REFUSED = "refused: not authorized for this channel"
UNANSWERED_YET = "requested, not yet answered"
UNANSWERED = f"no answer within {ACKNOWLEDGE_SECONDS:.0f} s"


def _chunks(names: list[str]) -> list[list[str]]:
    return [
        names[start : start + LARGEST_REQUEST] for start in range(0, len(names), LARGEST_REQUEST)
    ]
