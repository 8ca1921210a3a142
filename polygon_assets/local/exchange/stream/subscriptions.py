"""The vendor's manners in answering subscribe and unsubscribe requests, as a pure function.

Which channels a connection has and what it is told belongs here; sending events does not.
"""

from dataclasses import dataclass, field

PUBLISHED = frozenset({"A", "AM"})
NOT_IN_PLAN = frozenset({"T", "Q", "LULD", "NOI", "FMV", "LV"})
"""Channels the vendor publishes, which the account of the simulated exchange has not paid for."""
# The vendor names neither the channel nor an `ev` in a refusal.
REFUSAL = {"status": "error", "message": "not authorized"}

Status = dict[str, str]


def status(state: str, message: str) -> Status:
    return {"ev": "status", "status": state, "message": message}


@dataclass
class Channels:
    """The confirmed channels of one connection, such as `A.AAPL` or `AM.*`."""

    confirmed: set[str] = field(default_factory=set)

    def wants_all(self, kind: str) -> bool:
        return f"{kind}.*" in self.confirmed

    def symbols(self, kind: str) -> set[str]:
        """Symbols asked for one by one."""
        prefix = f"{kind}."
        return {channel[len(prefix) :] for channel in self.confirmed if channel.startswith(prefix)}


def subscribe(channels: Channels, params: str, refused: frozenset[str]) -> list[Status]:
    """Refusals first, then one confirmation per new channel; nothing for repeats and for what is not published."""
    refusals, confirmations = [], []
    for channel in _channels(params):
        if channel in refused or channel.split(".")[0] in NOT_IN_PLAN:
            refusals.append(REFUSAL)
        elif channel.split(".")[0] in PUBLISHED and channel not in channels.confirmed:
            channels.confirmed.add(channel)
            confirmations.append(status("success", f"subscribed to: {channel}"))
    return refusals + confirmations


def unsubscribe(channels: Channels, params: str) -> list[Status]:
    """One confirmation per channel that was subscribed; nothing for the others."""
    dropped = [channel for channel in _channels(params) if channel in channels.confirmed]
    channels.confirmed.difference_update(dropped)
    return [status("success", f"unsubscribed to: {channel}") for channel in dict.fromkeys(dropped)]


def _channels(params: str) -> list[str]:
    return [channel for part in params.split(",") if "." in (channel := part.strip())]
