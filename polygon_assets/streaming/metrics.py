"""Prometheus metrics of a stream program, derived from its last heartbeat at each scrape.

Add a number of the heartbeat to GAUGES or COUNTERS here, so that Kafka, `status`, alerts and
Prometheus cannot disagree; serving them belongs to `metrics_server`. Only how long a write takes
is measured for Prometheus alone: an average in a heartbeat would hide the slow ones.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.registry import Collector

from polygon_assets.inspection.health import (
    events_are_due,
    liveness_problem,
    longest_wait,
    oldest_event,
    readiness_problem,
)
from polygon_assets.market_calendar import CalendarHorizonError, MarketCalendar
from polygon_assets.market_clock import WALL_CLOCK, calendar_of
from polygon_assets.messages import OUTCOMES, Heartbeat, ProgramName, ProgramState, unaccounted
from polygon_assets.settings import Settings

PREFIX = "polygon_assets_"
WriteOutcome = Literal["written", "unavailable"]
WRITERS: tuple[ProgramName, ...] = ("sink", "archiver")
"""The programs that write batches: the sink into ClickHouse, the archiver into S3."""

WRITE_SECONDS = Histogram(
    f"{PREFIX}write_duration_seconds",
    "Duration of the write of one batch: the sink's insert, the archiver's upload",
    ("program", "outcome"),
    registry=None,
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0),
)


@dataclass(frozen=True)
class Gauge:
    """One number of the heartbeat; not exported while `value` gives None, which is unknown."""

    name: str
    documentation: str
    value: Callable[[Heartbeat], float | None]


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _of_producer(value: Callable[[Heartbeat], float | None]) -> Callable[[Heartbeat], float | None]:
    return lambda beat: value(beat) if beat.program == "producer" else None


def _queued(beat: Heartbeat) -> float | None:
    """None for the filter, which reads nothing more until Kafka has what it delivered."""
    if beat.program in WRITERS:
        return beat.counters.get("waiting", 0)
    return beat.lag if beat.program == "producer" else None


GAUGES = (
    Gauge(
        "start_timestamp_seconds",
        "When the program was started",
        lambda beat: _seconds(beat.started_at),
    ),
    Gauge(
        "heartbeat_timestamp_seconds",
        "When the last heartbeat was sent",
        lambda beat: _seconds(beat.sent_at),
    ),
    Gauge(
        "heartbeat_acknowledged_timestamp_seconds",
        "When the newest heartbeat that Kafka has acknowledged was sent",
        lambda beat: _seconds(beat.acknowledged_at),
    ),
    Gauge(
        "newest_event_timestamp_seconds",
        "Start of the newest second that was delivered, in market time",
        lambda beat: _seconds(beat.newest_event),
    ),
    Gauge(
        "newest_received_timestamp_seconds",
        "When the producer received the newest event that was delivered",
        lambda beat: _seconds(beat.newest_received_at),
    ),
    Gauge(
        "complete_until_timestamp_seconds",
        "Nothing is missing before this wall time",
        _of_producer(lambda beat: _seconds(beat.complete_until)),
    ),
    Gauge(
        "connection_timestamp_seconds",
        "When the newest connection to the vendor was opened",
        _of_producer(lambda beat: _seconds(beat.epoch or None)),
    ),
    Gauge(
        "arrival_delay_seconds",
        "From the end of a second to the arrival of its bar, median; below 0 the vendor's clock "
        "is ahead",
        lambda beat: _seconds(beat.arrival_delay_ms),
    ),
    Gauge(
        "forwarded_events_per_second",
        "Events delivered per second, over the last 10 s",
        lambda beat: beat.rate,
    ),
    Gauge(
        "lag_messages",
        "Unprocessed messages of the topic that the program reads",
        lambda beat: None if beat.program == "producer" else beat.lag,
    ),
    Gauge(
        "queued_messages",
        "Messages in this process that the next system has not acknowledged yet",
        _queued,
    ),
    Gauge(
        "recent_read_events",
        "Events read in the last five minutes",
        lambda beat: beat.recent_read,
    ),
    Gauge(
        "recent_refused_events",
        "Events refused in the last five minutes",
        lambda beat: beat.recent_refused,
    ),
    Gauge(
        "unaccounted_events",
        "Events that were read and have no outcome; 0 unless the program has a bug",
        unaccounted,
    ),
    Gauge(
        "day_restarts",
        "Restarts of the program on this trading day",
        lambda beat: beat.restarts,
    ),
    Gauge(
        "desired_channels",
        "Channels of the accepted subscription set",
        _of_producer(lambda beat: beat.desired),
    ),
    Gauge(
        "confirmed_channels",
        "Desired channels that the vendor has confirmed",
        _of_producer(lambda beat: beat.confirmed),
    ),
    Gauge(
        "leader",
        "1 for the producer that streams or would connect, 0 for a standby",
        _of_producer(lambda beat: not beat.is_standby),
    ),
)
"""Numbers of the heartbeat; the label `program` is on all metrics."""

COUNTERS: Mapping[str, str] = {
    "read": "Events or messages that were read",
    "reconnects": "Connections to the vendor that were lost or failed",
    "retries": "Writes of a batch that are tried again",
    "gaps": "Intervals reported in which events may have been missed",
    "dead_letters": "Dead letters stored in ClickHouse",
    "dead_letter_retries": "Inserts of dead letters that are tried again",
    "dead_letter_losses": "Times that the broker lost dead letters before they were stored",
}
"""By counter of the heartbeat that is no outcome of an event, what it counts."""


class HeartbeatCollector(Collector):
    """The metrics of `newest()`, the last heartbeat of this process."""

    def __init__(self, newest: Callable[[], Heartbeat], settings: Settings) -> None:
        self._newest = newest
        self._settings = settings
        # In a replay the market's hours are the simulated exchange's, which is not asked here.
        self._calendar = None if settings.market_replay else calendar_of(settings)

    def collect(self) -> Iterator[Metric]:
        """Each metric with its present value, for a scrape."""
        now = dt.datetime.now(dt.UTC)
        yield from families(self._newest(), self._settings, self._calendar, now)


def families(
    beat: Heartbeat, settings: Settings, calendar: MarketCalendar | None, now: dt.datetime
) -> Iterator[Metric]:
    """Each metric of a heartbeat at `now` (wall time).

    Without a calendar it is not known, and not exported, whether the market is open.
    """
    for gauge in GAUGES:
        if (value := gauge.value(beat)) is not None:
            yield _gauge(beat, gauge.name, gauge.documentation, value)
    yield from _counters(beat)
    yield from _identity(beat)
    yield from _health(beat, settings, now)
    yield from _limits(beat, settings)
    if calendar is not None:
        yield from _market(beat, settings, calendar, now)


def registry_of(
    program: ProgramName, newest: Callable[[], Heartbeat], settings: Settings
) -> CollectorRegistry:
    """Everything that one program exports, with CPU, memory and open files of its process."""
    # Otherwise each histogram has a second time series, which nothing reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry(support_collectors_without_names=True)
    registry.register(HeartbeatCollector(newest, settings))
    ProcessCollector(registry=registry)
    if program in WRITERS:
        registry.register(WRITE_SECONDS)
        for outcome in get_args(WriteOutcome):
            WRITE_SECONDS.labels(program, outcome)  # shows 0 before the first write
    return registry


def observe_write(program: ProgramName, outcome: WriteOutcome, seconds: float) -> None:
    """Record how long the write of one batch took."""
    WRITE_SECONDS.labels(program, outcome).observe(seconds)


def _counters(beat: Heartbeat) -> Iterator[Metric]:
    events = CounterMetricFamily(
        f"{PREFIX}events", "Events by what became of them", labels=("program", "outcome")
    )
    for outcome in OUTCOMES:
        if outcome != "waiting":  # the one that also falls: it is in `queued_messages`
            events.add_metric((beat.program, outcome), beat.counters.get(outcome, 0))
    yield events
    for name, documentation in COUNTERS.items():
        metric = "events_read" if name == "read" else name
        counter = CounterMetricFamily(f"{PREFIX}{metric}", documentation, labels=("program",))
        counter.add_metric((beat.program,), beat.counters.get(name, 0))
        yield counter


def _identity(beat: Heartbeat) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        f"{PREFIX}program_info",
        "1, with the process as host:pid:start, which changes with each start",
        labels=("program", "process"),
    )
    info.add_metric((beat.program, beat.instance), 1)
    yield info
    states = GaugeMetricFamily(
        f"{PREFIX}state", "1 for the state of the program", labels=("program", "state")
    )
    for state in get_args(ProgramState):
        states.add_metric((beat.program, state), state == beat.state)
    yield states


def _health(beat: Heartbeat, settings: Settings, now: dt.datetime) -> Iterator[Metric]:
    is_alive = not liveness_problem(beat, now, settings)
    is_ready = not readiness_problem(beat, now, settings)
    yield _gauge(beat, "alive", "1 unless only a restart helps, as /healthz", is_alive)
    yield _gauge(beat, "ready", "1 while the program does its work, as /readyz", is_ready)


def _limits(beat: Heartbeat, settings: Settings) -> Iterator[Metric]:
    """The limits of the settings, so that alert rules need no copy of them."""
    lag, age = longest_wait(beat.program, settings), oldest_event(settings)
    limits = {
        "lag_limit_seconds": ("ALERT_LAG_SECONDS for this program", lag.total_seconds()),
        "event_age_limit_seconds": ("ALERT_SILENCE_SECONDS for this cluster", age.total_seconds()),
        "clock_skew_limit_seconds": (
            "ALERT_CLOCK_SKEW_SECONDS",
            settings.alert_clock_skew_seconds,
        ),
        "refused_limit_ratio": ("ALERT_REFUSED_SHARE", settings.alert_refused_share),
        "restarts_limit": ("ALERT_RESTARTS", settings.alert_restarts),
        "producer_copies": ("PRODUCER_COPIES", settings.producer_copies),
    }
    for name, (documentation, value) in limits.items():
        yield _gauge(beat, name, documentation, value)


def _market(
    beat: Heartbeat, settings: Settings, calendar: MarketCalendar, now: dt.datetime
) -> Iterator[Metric]:
    try:
        is_open = calendar.is_open(now)
        are_due = events_are_due(calendar, WALL_CLOCK, now, oldest_event(settings))
    except CalendarHorizonError:
        return  # the program that needs the calendar reports it
    yield _gauge(beat, "market_open", "1 from the pre-market to the post-market", is_open)
    yield _gauge(
        beat,
        "events_due",
        "1 once the market has been in regular hours for as long as the newest event may be old",
        are_due,
    )


def _gauge(beat: Heartbeat, name: str, documentation: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(f"{PREFIX}{name}", documentation, labels=("program",))
    gauge.add_metric((beat.program,), value)
    return gauge
