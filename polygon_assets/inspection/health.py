"""What is wrong with a stream program, by its own heartbeat: sentences for `status` and the checks.

Add a problem that a heartbeat shows here; what follows from it belongs to `status` and `defs`.
"""

import datetime as dt

from polygon_assets.messages import Heartbeat, unaccounted, utc

HEARTBEAT_LIMIT = dt.timedelta(seconds=15)
"""Heartbeats come once a second; a program that sent none for 15 s does not run."""
MAX_REFUSED_SHARE = 0.01
CLOCK_LIMIT_MS = 1_000
"""A bar cannot arrive before its second ends; one second is left for clocks under correction."""


def is_recent(beat: Heartbeat, now: dt.datetime) -> bool:
    """Whether the heartbeat proves that its program runs at `now` (wall time)."""
    return now - utc(beat.sent_at) <= HEARTBEAT_LIMIT


def heartbeat_problems(beat: Heartbeat) -> list[str]:
    """Every problem as a sentence without the program's name."""
    return list(filter(None, (refusal_problem(beat), clock_problem(beat), account_problem(beat))))


def refusal_problem(beat: Heartbeat) -> str:
    """More than 1 % of recent events were refused: then the rule is wrong, not the events."""
    if beat.recent_refused <= MAX_REFUSED_SHARE * beat.recent_read:
        return ""
    return (
        f"refused {beat.recent_refused:,} of {beat.recent_read:,} events in the last five minutes, "
        f"the newest because: {beat.last_refusal or 'not reported'}"
    )


def clock_problem(beat: Heartbeat) -> str:
    """The clocks of the vendor and of the producer's machine disagree."""
    delay = beat.arrival_delay_ms
    if delay is None or delay >= -CLOCK_LIMIT_MS:
        return ""
    return (
        f"bars arrive {-delay / 1000:.1f} s before their second ends: the vendor's clock is ahead "
        "of this machine's; check this machine's time synchronisation (NTP)"
    )


def account_problem(beat: Heartbeat) -> str:
    """Events were read that are neither forwarded nor refused nor dropped."""
    if not (missing := unaccounted(beat)):
        return ""
    read = beat.counters.get("read", 0)
    return (
        f"cannot account for {missing:,} of {read:,} events that it read: a fault of the program, "
        "report it"
    )
