"""The alerts as data, and which of them are true now: a pure function of facts and settings.

Add an alert to ALERTS here; its limit belongs to `settings.alerts`, a decision that `status` and
the checks share to `health`, and sending it to `defs.graph.alert_sensor`. For a Prometheus,
deploy/prometheus/alerts.yaml has the rules that metrics can express.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from polygon_assets.clients.ecs import Service
from polygon_assets.clients.kafka_connect import ConnectorState
from polygon_assets.inspection import connectors
from polygon_assets.inspection.disk import scarcity
from polygon_assets.inspection.gaps import unsettled
from polygon_assets.inspection.health import (
    absence,
    clock_problem,
    events_are_due,
    freshness_problem,
    longest_wait,
    oldest_event,
    refusal_problem,
    standby_problem,
    waiting_problem,
)
from polygon_assets.inspection.services import NOT_STARTED_CURE, late_services
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import MarketClock
from polygon_assets.messages import Heartbeat
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings

Causes = Mapping[str, str]
"""By subject, such as a program, the problem as one sentence."""


@dataclass(frozen=True)
class AlertFacts:
    """What alerts are judged by. None is unknown: a system is not set, or did not answer."""

    now: dt.datetime
    """Wall time."""
    calendar: MarketCalendar
    clock: MarketClock | None = None
    heartbeats: Mapping[str, Heartbeat] | None = None
    standbys: Mapping[str, Heartbeat] | None = None
    waiting_since: Mapping[str, dt.datetime | None] | None = None
    """By program, when its oldest unprocessed message was received."""
    gaps: Sequence[GapEntry] | None = None
    open_days: Sequence[dt.date] | None = None
    """Settled trading days that are not closed."""
    failed_syncs: Causes | None = None
    free_bytes: Mapping[str, int] | None = None
    """By folder, on Dagster's machine."""
    clickhouse_free_bytes: Mapping[str, int] | None = None
    """By disk of ClickHouse."""
    restarts: Mapping[str, int] | None = None
    """By program, within ALERT_RESTART_MINUTES."""
    services: Mapping[str, Service] | None = None
    """By program, where STREAM_RUNNER is ecs; otherwise there are none."""
    connectors: Mapping[str, ConnectorState] | None = None
    """By name, where SINK_RUNNER is connect; otherwise there are none."""
    unreadable: Causes = field(default_factory=dict)
    """By system, why facts could not be read from it."""

    @property
    def is_open(self) -> bool | None:
        """Whether the market is open; None without its clock."""
        return None if self.clock is None else self.calendar.is_open(self.clock.market(self.now))


Judge = Callable[[AlertFacts, Settings], Causes | None]
"""What is wrong now; None if a needed fact is unknown."""


@dataclass(frozen=True)
class Alert:
    """A named alert: when it fires, what to do, and how it is judged."""

    name: str
    fires_when: str
    cure: str
    judge: Judge
    must_last: bool = True
    """Whether its cause must last for ALERT_HOLD_SECONDS: it may end by itself within seconds."""


def judge(facts: AlertFacts, settings: Settings) -> dict[str, Causes | None]:
    """By alert, what is wrong now; None where that is unknown."""
    return {alert.name: alert.judge(facts, settings) for alert in ALERTS}


def _gap_open(facts: AlertFacts, settings: Settings) -> Causes | None:
    if facts.gaps is None or facts.clock is None:
        return None
    limit = dt.timedelta(minutes=settings.alert_gap_minutes)
    late = [
        gap
        for gap in unsettled(facts.gaps)
        if (ended := facts.clock.wall(gap.until)) and facts.now - ended > limit
    ]
    if not late:
        return {}
    first = min(late, key=lambda gap: gap.since)
    note = f": {first.note}" if first.note else ""
    return {
        "": f"{len(late)} gap(s) are not verified {settings.alert_gap_minutes:g} minutes after "
        f"their end, the first from {first.since:%Y-%m-%d %H:%M:%S} UTC ({first.cause}) is "
        f"{first.state}{note}"
    }


def _lag(facts: AlertFacts, settings: Settings) -> Causes | None:
    if facts.heartbeats is None or facts.waiting_since is None or facts.is_open is None:
        return None
    late = {
        program: problem
        for program, since in facts.waiting_since.items()
        if (problem := waiting_problem(since, facts.now, longest_wait(program, settings)))
    }
    if not facts.is_open:
        # Nobody works off a lag while the market is closed, and an old one has not ended.
        return None if late else {}
    absent = {
        program: reason
        for program in facts.waiting_since
        if not connectors.replaces(settings, program)
        and (reason := absence(facts.heartbeats.get(program), facts.now))
    }
    return absent | late


def _silence(facts: AlertFacts, settings: Settings) -> Causes | None:
    if facts.heartbeats is None or facts.clock is None:
        return None
    beat = facts.heartbeats.get("producer")
    waits_for_channels = beat is not None and not absence(beat, facts.now) and not beat.desired
    if not facts.is_open or waits_for_channels:
        return {}
    oldest = oldest_event(settings)
    are_due = events_are_due(facts.calendar, facts.clock, facts.now, oldest)
    problem = freshness_problem(beat, facts.now, facts.clock, oldest, are_due)
    return {"": problem} if problem else {}


def _clock_skew(facts: AlertFacts, settings: Settings) -> Causes | None:
    beats = _while_open(facts)
    if beats is None:
        return None
    problem = clock_problem(beats["producer"], settings) if "producer" in beats else ""
    return {"": problem} if problem else {}


def _refusals(facts: AlertFacts, settings: Settings) -> Causes | None:
    beats = _while_open(facts)
    if beats is None:
        return None
    return {
        program: problem
        for program, beat in beats.items()
        if not connectors.replaces(settings, program)
        and (problem := refusal_problem(beat, settings))
    }


def _while_open(facts: AlertFacts) -> Mapping[str, Heartbeat] | None:
    """The last heartbeats, of dead programs too: a crash ends no problem. None while closed."""
    return {} if facts.is_open is False else facts.heartbeats if facts.is_open else None


def _day_open(facts: AlertFacts, settings: Settings) -> Causes | None:
    if facts.open_days is None or facts.clock is None:
        return None
    limit = dt.timedelta(minutes=settings.alert_day_open_minutes)
    late = [
        day
        for day in facts.open_days
        if (session := facts.calendar.session(day))
        and (settled := facts.clock.wall(session.settled_at))
        and facts.now - settled > limit
    ]
    sentence = (
        f"not closed {settings.alert_day_open_minutes:g} minutes after its last correction was due"
    )
    return {day.isoformat(): sentence for day in late}


def _sync_failed(facts: AlertFacts, _settings: Settings) -> Causes | None:
    return facts.failed_syncs


def _disk(facts: AlertFacts, settings: Settings) -> Causes | None:
    return _scarce(facts.free_bytes, settings)


def _clickhouse_disk(facts: AlertFacts, settings: Settings) -> Causes | None:
    return _scarce(facts.clickhouse_free_bytes, settings)


def _scarce(free_bytes: Mapping[str, int] | None, settings: Settings) -> Causes | None:
    if free_bytes is None:
        return None
    return {
        place: problem
        for place, free in free_bytes.items()
        if (problem := scarcity(place, free, settings.alert_disk_free_bytes))
    }


def _restart_loop(facts: AlertFacts, settings: Settings) -> Causes | None:
    if facts.restarts is None:
        return None
    return {
        program: f"restarted {count} times within {settings.alert_restart_minutes:g} minutes"
        for program, count in facts.restarts.items()
        if count >= settings.alert_restarts
    }


def _standby_missing(facts: AlertFacts, settings: Settings) -> Causes | None:
    if facts.is_open is None or facts.standbys is None:
        return None
    problem = standby_problem(settings.producer_copies, facts.standbys, facts.now)
    return {"": problem} if problem and facts.is_open else {}


def _task_not_started(facts: AlertFacts, settings: Settings) -> Causes | None:
    return None if facts.services is None else late_services(facts.services, facts.now, settings)


def _connector_not_running(facts: AlertFacts, _settings: Settings) -> Causes | None:
    return None if facts.connectors is None else connectors.problems(facts.connectors)


def _unreadable(facts: AlertFacts, _settings: Settings) -> Causes | None:
    return facts.unreadable


ALERTS = (
    Alert(
        "gap_open",
        "a gap is neither verified nor waived ALERT_GAP_MINUTES after its end",
        "`polygon-assets gaps` gives the reason; launch fill_gaps, or waive_gaps to accept the "
        "loss",
        _gap_open,
        must_last=False,
    ),
    Alert(
        "lag",
        "a received message waits longer than ALERT_LAG_SECONDS for filter, sink or archiver, or "
        "one of them sends no heartbeat",
        "read the log of the program's run (run_filter, run_sink, run_archiver); launch the job "
        "again if it was cancelled",
        _lag,
    ),
    Alert(
        "silence",
        "no event is newer than ALERT_SILENCE_SECONDS in regular hours, or the producer sends no "
        "heartbeat while the market is open",
        "read the log of run_producer; if it streams, ask for the vendor's status",
        _silence,
    ),
    Alert(
        "clock_skew",
        "bars arrive more than ALERT_CLOCK_SKEW_SECONDS before their second ends",
        "check the time synchronisation (NTP) of the producer's machine",
        _clock_skew,
    ),
    Alert(
        "refusals",
        "a program refused more of the last five minutes' events than ALERT_REFUSED_SHARE",
        "`polygon-assets dead-letters list` counts the reasons; correct the rule, then launch "
        "replay_dead_letters",
        _refusals,
    ),
    Alert(
        "day_open",
        "a trading day is not closed ALERT_DAY_OPEN_MINUTES after its last correction was due",
        "the last tick of the sensor trading_day_closer gives the reason",
        _day_open,
        must_last=False,
    ),
    Alert(
        "sync_failed",
        "the last finished sync of an Airbyte connection failed",
        "the next sync continues there; for a wrong key or plan, correct the source first",
        _sync_failed,
        must_last=False,
    ),
    Alert(
        "disk",
        "less than ALERT_DISK_FREE_BYTES is free on Dagster's machine",
        "free some space; `make clean` removes the embedded stack's data",
        _disk,
        must_last=False,
    ),
    Alert(
        "clickhouse_disk",
        "less than ALERT_DISK_FREE_BYTES is free on a disk of ClickHouse",
        "free or add some space; STOCK_VERSIONS_DAYS shortens the largest history",
        _clickhouse_disk,
        must_last=False,
    ),
    Alert(
        "restart_loop",
        "a program was restarted ALERT_RESTARTS times within ALERT_RESTART_MINUTES",
        "the log of the program's run says how each process ended",
        _restart_loop,
        must_last=False,
    ),
    Alert(
        "standby_missing",
        "fewer producers than PRODUCER_COPIES run while the market is open",
        "start the missing producer; until then a failure of the leader makes a longer gap",
        _standby_missing,
    ),
    Alert(
        "task_not_started",
        "a task of an ECS service has not started within ECS_START_SECONDS, or ECS starts none",
        NOT_STARTED_CURE,
        _task_not_started,
    ),
    Alert(
        "connector_not_running",
        "a connector that replaces our sink (SINK_RUNNER=connect), or one of its tasks, is not "
        "RUNNING",
        connectors.NOT_RUNNING_CURE,
        _connector_not_running,
    ),
    Alert(
        "unreadable",
        "Kafka, ClickHouse, Kafka Connect, Airbyte, ECS or the replay's clock does not answer: "
        "alerts that need it keep their state",
        "`polygon-assets doctor` names the cause",
        _unreadable,
    ),
)
"""Every alert, in the order in which they are judged and documented."""
