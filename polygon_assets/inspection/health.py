"""What is wrong with a stream program: sentences for `status`, the checks and the alerts.

Add a problem that heartbeats or offsets show here; its limit belongs to `settings`, and what
follows from it to `status`, `alerts` and `defs`.
"""

import datetime as dt
from collections.abc import Mapping

from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import MarketClock
from polygon_assets.messages import Heartbeat, ProgramState, unaccounted, utc
from polygon_assets.settings import Settings

HEARTBEAT_LIMIT = dt.timedelta(seconds=15)
"""Heartbeats come once a second; a program that sent none for 15 s does not run."""
FIRST_HEARTBEAT_LIMIT = dt.timedelta(seconds=60)
"""Before its first heartbeat a program looks for the previous process's, on a busy machine too."""
ACKNOWLEDGED_LIMIT = dt.timedelta(seconds=10)
"""Kafka acknowledges a heartbeat within a second, and moves a partition within a few."""
WORKING: frozenset[ProgramState] = frozenset({"streaming", "standby"})
"""The states of a program that does its work; a standby's is to replace the leader."""
DELAYED_CLUSTER = dt.timedelta(minutes=15)


def is_recent(beat: Heartbeat, now: dt.datetime) -> bool:
    """Whether the heartbeat proves that its program runs at `now` (wall time)."""
    return now - utc(beat.sent_at) <= HEARTBEAT_LIMIT


def absence(beat: Heartbeat | None, now: dt.datetime) -> str:
    """Why a program counts as not running; empty when it runs."""
    if beat is None:
        return "no heartbeat"
    if is_recent(beat, now):
        return ""
    return f"no heartbeat for {(now - utc(beat.sent_at)).total_seconds():.0f} s"


def liveness_problem(beat: Heartbeat, now: dt.datetime, settings: Settings) -> str:
    """Why only a restart helps: the program's loop hangs, which ends its heartbeats.

    Empty while it waits, for whatever: a restart brings no other system back, and a program that
    waits goes on by itself. `beat` is the program's own last heartbeat, `now` wall time.
    """
    limit = HEARTBEAT_LIMIT
    if beat.sent_at == beat.started_at:
        limit = FIRST_HEARTBEAT_LIMIT
    elif beat.state == "draining":
        # Its deadline ends the program; until then the loop may wait for Kafka's acknowledgement.
        limit += dt.timedelta(seconds=settings.drain_seconds)
    silence = now - utc(beat.sent_at)
    if silence <= limit:
        return ""
    return f"hangs: no heartbeat for {silence.total_seconds():.0f} s, since it was {beat.state}"


def readiness_problem(beat: Heartbeat, now: dt.datetime, settings: Settings) -> str:
    """Why the program does not do its work now; empty while it does, or stands by for the leader.

    `beat` is the program's own last heartbeat, `now` wall time.
    """
    if problem := liveness_problem(beat, now, settings):
        return problem
    if beat.state not in WORKING:
        return f"{beat.state}: {beat.detail}" if beat.detail else beat.state
    if beat.acknowledged_at is None:
        return "Kafka has acknowledged no heartbeat yet"
    return kafka_problem(beat, now)


def kafka_problem(beat: Heartbeat, now: dt.datetime) -> str:
    """Kafka has acknowledged none of the program's heartbeats for too long."""
    silence = now - utc(beat.acknowledged_at or beat.started_at)
    if silence <= ACKNOWLEDGED_LIMIT:
        return ""
    return f"Kafka has acknowledged no heartbeat for {silence.total_seconds():.0f} s"


def heartbeat_problems(beat: Heartbeat, settings: Settings) -> list[str]:
    """Every problem as a sentence without the program's name."""
    sentences = (
        refusal_problem(beat, settings),
        clock_problem(beat, settings),
        account_problem(beat),
        lost_letters_problem(beat),
    )
    return list(filter(None, sentences))


def refusal_problem(beat: Heartbeat, settings: Settings) -> str:
    """Too many recent events were refused: then the rule is wrong, not the events."""
    if beat.recent_refused <= settings.alert_refused_share * beat.recent_read:
        return ""
    return (
        f"refused {beat.recent_refused:,} of {beat.recent_read:,} events in the last five minutes, "
        f"the newest because: {beat.last_refusal or 'not reported'}"
    )


def clock_problem(beat: Heartbeat, settings: Settings) -> str:
    """The clocks of the vendor and of the producer's machine disagree.

    A bar cannot arrive before its second ends; the limit is left for clocks under correction.
    """
    delay = beat.arrival_delay_ms
    if delay is None or delay >= -1000 * settings.alert_clock_skew_seconds:
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


def lost_letters_problem(beat: Heartbeat) -> str:
    """The broker lost dead letters: no table has what they were, and no gap records it."""
    if not (losses := beat.counters.get("dead_letter_losses", 0)):
        return ""
    return (
        f"the broker lost dead letters {losses} time(s) before they were stored: their bytes are "
        "gone; the sink's log names partition and offset"
    )


def oldest_event(settings: Settings) -> dt.timedelta:
    """The greatest age of the newest event while somebody trades every second."""
    delay = DELAYED_CLUSTER if settings.is_delayed else dt.timedelta()
    return dt.timedelta(seconds=settings.alert_silence_seconds) + delay


def events_are_due(
    calendar: MarketCalendar, clock: MarketClock, now: dt.datetime, oldest: dt.timedelta
) -> bool:
    """Whether the market has been in regular hours for `oldest`: a small set may be quiet before.

    `now` is wall time; in a replay nothing was traded before it began.
    """
    session, earlier = calendar.session_at(clock.market(now)), clock.market(now - oldest)
    is_regular = session is not None and session.phase(earlier) == "regular"
    return is_regular and earlier.timestamp() > clock.begins


def event_age(beat: Heartbeat, now: dt.datetime, clock: MarketClock) -> dt.timedelta | None:
    """The age of the newest event in wall time, also in a replay; None without an event.

    Raises ValueError, OverflowError or OSError for a stamp that is no time in milliseconds: the
    number is the vendor's, and a unit may change without notice.
    """
    if beat.newest_event is None:
        return None
    return now - (clock.wall(utc(beat.newest_event)) or now)


def freshness_problem(
    beat: Heartbeat | None,
    now: dt.datetime,
    clock: MarketClock,
    oldest: dt.timedelta,
    are_due: bool,
) -> str:
    """No event has arrived for too long while events are due, or the producer does not run."""
    reason = absence(beat, now)
    if beat is None or reason:
        return f"producer: {reason}"
    try:
        age = event_age(beat, now, clock)
    except (ValueError, OverflowError, OSError):
        return f"the newest event's start is no time in milliseconds: {beat.newest_event}"
    if not are_due or (age is not None and age <= oldest):
        return ""
    return "no event yet" if age is None else f"the newest event is {age.total_seconds():.0f} s old"


def longest_wait(program: str, settings: Settings) -> dt.timedelta:
    """How long a received message may wait for a program; the archiver collects for minutes."""
    collects = settings.archive_max_seconds if program == "archiver" else 0.0
    return dt.timedelta(seconds=settings.alert_lag_seconds + collects)


def waiting_problem(since: dt.datetime | None, now: dt.datetime, longest: dt.timedelta) -> str:
    """A message received at `since` still waits for the program, for too long."""
    if since is None or now - since <= longest:
        return ""
    waited, limit = (now - since).total_seconds(), longest.total_seconds()
    return f"the oldest unprocessed message has waited for {waited:,.0f} s, more than {limit:,.0f}"


def ready_standbys(standbys: Mapping[str, Heartbeat], now: dt.datetime) -> list[str]:
    """The instances that wait now to replace the producer that streams."""
    return [name for name, beat in standbys.items() if is_recent(beat, now)]


def standby_problem(copies: int, standbys: Mapping[str, Heartbeat], now: dt.datetime) -> str:
    """Fewer copies than PRODUCER_COPIES asks for wait to replace the leader."""
    ready = len(ready_standbys(standbys, now))
    return f"{ready} of {copies - 1} standby(s)" if ready < copies - 1 else ""
