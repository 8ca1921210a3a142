"""Which channels are desired, asked for, confirmed or refused on one connection: a ledger without any input or output.

The vendor confirms each channel by name, refuses without naming any, and answers a repeated request with silence; this module
turns that into a clear word per channel.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from polygon_assets.subscriptions import WILDCARD

ACKNOWLEDGE_SECONDS = 10.0
SETTLE_SECONDS = 1.0
"""A refusal may belong to a channel that nobody wants any more: the answer that follows it is waited for."""
RETRY_SECONDS = 60.0
LARGEST_REQUEST = 500
"""Channels of one request, as other public clients chunk them: 4,000 names would make a 40 kB frame."""

REFUSALS = ("error", "not_authorized")
UNREMARKABLE = ("connected", "auth_success", "success")
"""Statuses that ask for nothing; any other is worth a line in the log."""
SUBSCRIBED = "subscribed to: "
UNSUBSCRIBED = "unsubscribed to: "


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
        self._asked: dict[str, float] = {}
        self._faults: dict[str, tuple[str, float]] = {}
        self._anonymous_refusals = 0

    def plan(self, desired: Iterable[str], now: float) -> Plan:
        """What to ask for so that `desired` comes true; asked once, and again RETRY_SECONDS after a channel has failed."""
        self.desired = frozenset(desired)
        self._expire(now)
        surplus = sorted((self.confirmed | self._asked.keys() | self._faults.keys()) - self.desired)
        if WILDCARD in self.desired - self.confirmed:
            surplus = []  # the names go on until the wildcard carries their data: no hole, and nothing lost if it is refused
        retry = sorted(
            name
            for name, (_, at) in self._faults.items()
            if name in self.desired and now >= at + RETRY_SECONDS
        )
        missing = sorted(self.desired - self.confirmed - self._asked.keys() - self._faults.keys())
        for name in (*surplus, *retry):
            self._forget(name)
        self._asked.update(dict.fromkeys((*missing, *retry), now))
        # A repeated request is answered with silence if it had worked after all, so a retry begins with its opposite.
        return Plan(_chunks([*surplus, *retry]), _chunks([*missing, *retry]))

    def acknowledge(self, status: str, message: str) -> str | None:
        """Take a status message; returns a sentence worth a log line, if it is one."""
        if message.startswith(SUBSCRIBED):
            return self._confirm(message.removeprefix(SUBSCRIBED))
        if message.startswith(UNSUBSCRIBED):
            self.confirmed.discard(message.removeprefix(UNSUBSCRIBED))
            return None
        if status.lower() in REFUSALS and self._asked:
            self._anonymous_refusals += 1
            return f"the vendor refused a channel of the last request without naming it: {message}"
        return None if status in UNREMARKABLE else f"the vendor sent status {status!r}: {message}"

    def unconfirmed(self) -> list[str]:
        """Each desired channel that is not confirmed, with the reason."""
        return [
            f"{name}: {self._faults[name][0] if name in self._faults else 'asked, not yet answered'}"
            for name in sorted(self.desired - self.confirmed)
        ]

    @property
    def settled(self) -> bool:
        """Every channel that was asked for is confirmed, or has a reason not to be."""
        return not self._asked

    @property
    def all_refused(self) -> bool:
        """Every desired channel was refused and none confirmed: the account's plan has no such data."""
        return (
            bool(self.desired)
            and not self.confirmed
            and all(self._faults.get(name, ("",))[0] == REFUSED for name in self.desired)
        )

    def _confirm(self, name: str) -> str | None:
        self._asked.pop(name, None)
        self._faults.pop(name, None)
        if name in self.desired:
            self.confirmed.add(name)
            return None
        return f"the vendor confirmed {name}, which nobody wants any more"

    def _expire(self, now: float) -> None:
        """Each refusal stands for one channel without an answer: as many refusals as open channels, and all of them are refused."""
        patience = (
            SETTLE_SECONDS if self._anonymous_refusals >= len(self._asked) else ACKNOWLEDGE_SECONDS
        )
        expired = [name for name, at in self._asked.items() if now >= at + patience]
        reason = REFUSED if expired and self._anonymous_refusals >= len(expired) else UNANSWERED
        for name in expired:
            del self._asked[name]
            self._faults[name] = (reason, now)
        if expired:
            self._anonymous_refusals = 0

    def _forget(self, name: str) -> None:
        self._asked.pop(name, None)
        self._faults.pop(name, None)
        self.confirmed.discard(name)


REFUSED = "refused: not authorized for this channel"
UNANSWERED = f"no answer within {ACKNOWLEDGE_SECONDS:.0f} s"


def _chunks(names: list[str]) -> list[list[str]]:
    return [
        names[start : start + LARGEST_REQUEST] for start in range(0, len(names), LARGEST_REQUEST)
    ]
