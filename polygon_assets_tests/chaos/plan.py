"""Which faults strike together next: pure choices from a seed and the rounds before.

Add a rule of the choice here; what a fault does belongs to `faults`.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from polygon_assets.local.launcher.revival import DEATHS, WITHIN_SECONDS

AT_ONCE = (1, 2, 3)
"""How many faults strike together, each number as often as the others."""


@dataclass(frozen=True)
class Kind:
    """What the choice needs to know of a fault."""

    name: str
    server: str = ""
    """The server of the stack that dies: `dev` gives up on one that dies too often."""
    alone: bool = False
    """Whether it stops everything, so that another fault beside it would have nothing to strike."""


@dataclass(frozen=True)
class Struck:
    """A fault of an earlier round."""

    kind: Kind
    at: float
    """Monotonic seconds."""


def next_round(
    kinds: Sequence[Kind], struck: Sequence[Struck], now: float, draw: random.Random
) -> list[Kind]:
    """The faults of the next round: those that struck least often, in random order.

    None where each of them would kill a server once too often: after a while it is allowed again.
    """
    count = draw.choice(AT_ONCE)
    times = Counter(fault.kind.name for fault in struck)
    allowed = [kind for kind in kinds if _may_die(kind, struck, now)]
    if not allowed:
        return []
    draw.shuffle(allowed)
    first, *others = sorted(allowed, key=lambda kind: times[kind.name])
    if first.alone:
        return [first]
    chosen = [first]
    for kind in others:
        servers = {other.server for other in chosen} - {""}
        if len(chosen) < count and not kind.alone and kind.server not in servers:
            chosen.append(kind)
    return chosen


def _may_die(kind: Kind, struck: Sequence[Struck], now: float) -> bool:
    """Whether `dev` would still restart the server; a new `dev` counts from zero."""
    restarted = max((fault.at for fault in struck if fault.kind.alone), default=-WITHIN_SECONDS)
    deaths = [
        fault
        for fault in struck
        if fault.kind.server == kind.server and fault.at > max(restarted, now - WITHIN_SECONDS)
    ]
    return not kind.server or len(deaths) < DEATHS - 1
