"""The vendor's answers to subscribe and unsubscribe requests, as pure functions.

Add a channel or an answer here; sending events belongs to `feed`.
"""

from dataclasses import dataclass, field

PUBLISHED = frozenset({"A", "AM"})
NOT_IN_PLAN = frozenset({"T", "Q", "LULD", "NOI", "FMV", "LV"})
"""Channels that the vendor publishes but that are not in the simulated account's plan."""
# The vendor's refusals contain neither the channel nor an `ev`.
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
        """The symbols subscribed to one by one."""
        prefix = f"{kind}."
        return {channel[len(prefix) :] for channel in self.confirmed if channel.startswith(prefix)}


def subscribe(channels: Channels, params: str, refused: frozenset[str]) -> list[Status]:
    """Confirm the new channels; returns the refusals, then one confirmation for each new channel.

    Repeated and unknown channels get no answer.
    """
    refusals, confirmations = [], []
    for channel in _channels(params):
        if channel in refused or channel.split(".")[0] in NOT_IN_PLAN:
            refusals.append(REFUSAL)
        elif channel.split(".")[0] in PUBLISHED and channel not in channels.confirmed:
            channels.confirmed.add(channel)
            confirmations.append(status("success", f"subscribed to: {channel}"))
    return refusals + confirmations


def unsubscribe(channels: Channels, params: str) -> list[Status]:
    """One confirmation per channel that was subscribed; no answer for the others."""
    dropped = [channel for channel in _channels(params) if channel in channels.confirmed]
    channels.confirmed.difference_update(dropped)
    return [status("success", f"unsubscribed to: {channel}") for channel in dict.fromkeys(dropped)]


def _channels(params: str) -> list[str]:
    return [channel for part in params.split(",") if "." in (channel := part.strip())]
