"""The facts of the alerts, read from every system, Dagster and disks at once.

Add a read here; what follows from the facts belongs to `inspection.alert_rules`.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg

from polygon_assets import topics
from polygon_assets.batch.airbyte.connector import CONNECTIONS
from polygon_assets.clients import market_clock
from polygon_assets.defs.graph.keys import STOCK_AGGREGATES
from polygon_assets.defs.graph.materializations import materialized_at
from polygon_assets.defs.graph.partitions import FIRST_DAY
from polygon_assets.inspection import connectors, gaps, services, streams, tables
from polygon_assets.inspection.alert_rules import AlertFacts
from polygon_assets.inspection.disk import free_bytes
from polygon_assets.inspection.questions import Answer, Questions, value_of
from polygon_assets.inspection.services import runs_on_ecs
from polygon_assets.inspection.syncs import failed_syncs
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import MarketClock, calendar_of
from polygon_assets.required_settings import missing_settings
from polygon_assets.settings import Settings

DEADLINE_SECONDS = 8.0
"""For all systems together: a sensor's tick has 60 s, and must send its messages too."""
KAFKA_SECONDS = 6.0
"""Below the deadline, so that a query ends with its own reason."""
SYNCS_EVERY = dt.timedelta(minutes=5)
"""Airbyte Cloud limits the requests of an account."""
DAYS_BACK = dt.timedelta(days=30)
"""An older day that is open needs no further message."""
LEDGER = "ledger"
"""Read from Kafka and ClickHouse: where it fails, one of them usually has failed too."""


def read_facts(
    instance: dg.DagsterInstance, settings: Settings, with_syncs: bool, now: dt.datetime
) -> AlertFacts:
    """What is known at `now` (wall time); a system that does not answer leaves its facts None."""
    answers = _questions(settings).ask(DEADLINE_SECONDS)
    if with_syncs and not missing_settings(settings, "airbyte"):
        answers |= _airbyte_questions(settings).ask(DEADLINE_SECONDS)
    clock, calendar = value_of(answers, "exchange clock"), calendar_of(settings)
    first_beat = value_of(answers, "clickhouse first heartbeat")
    folder = Path(instance.root_directory)
    return AlertFacts(
        now,
        calendar,
        clock,
        heartbeats=value_of(answers, "kafka heartbeats"),
        standbys=value_of(answers, "kafka standbys"),
        waiting_since=value_of(answers, "kafka waiting"),
        gaps=value_of(answers, LEDGER),
        open_days=days_never_closed(instance, calendar, clock, first_beat, now)
        if clock and _answered(answers, "clickhouse first heartbeat")
        else None,
        failed_syncs=value_of(answers, "airbyte syncs"),
        free_bytes={str(folder.resolve()): free_bytes(folder)},
        clickhouse_free_bytes=value_of(answers, "clickhouse disks"),
        restarts=value_of(answers, "clickhouse restarts"),
        services=value_of(answers, "ecs services") if runs_on_ecs(settings) else {},
        connectors=value_of(answers, "connect") if connectors.replaces(settings, "sink") else {},
        unreadable=_unreadable(answers, settings),
    )


def days_never_closed(
    instance: dg.DagsterInstance,
    calendar: MarketCalendar,
    clock: MarketClock,
    first_beat: dt.datetime | None,
    now: dt.datetime,
) -> list[dt.date]:
    """The settled trading days of the last month that were never closed.

    Days before the first heartbeat were not streamed. A day that was closed once is left out,
    even if a later gap opens it again: that gap has its own alert.
    """
    if first_beat is None:
        return []
    market_now = clock.market(now)
    first = max(FIRST_DAY, calendar.day_of(market_now - DAYS_BACK))
    first = max(first, calendar.day_of(clock.market(first_beat)))
    days = calendar.trading_days(first, calendar.day_of(market_now))
    settled = [day for day in days if calendar.is_settled(day, market_now)]
    closed = materialized_at(instance, STOCK_AGGREGATES, settled)
    return [day for day in settled if day not in closed]


@lru_cache(maxsize=1)
def _questions(settings: Settings) -> Questions:
    """Kept between ticks: a system that hangs gets no second query, and no second thread."""
    questions: dict[str, Callable[[], Any]] = {
        "exchange clock": lambda: market_clock.connect(settings)
    }
    if settings.kafka_bootstrap_servers:
        questions |= {
            "kafka heartbeats": lambda: streams.heartbeats(settings, KAFKA_SECONDS),
            "kafka standbys": lambda: (
                streams.standbys(settings, KAFKA_SECONDS) if settings.producer_copies > 1 else {}
            ),
            "kafka waiting": lambda: {
                program: streams.waiting_since(settings, *read, KAFKA_SECONDS)
                for program, read in topics.READERS.items()
            },
        }
    if settings.clickhouse_host:
        questions |= {
            "clickhouse first heartbeat": lambda: tables.first_heartbeat(settings),
            "clickhouse disks": lambda: tables.free_bytes(settings),
            "clickhouse restarts": lambda: tables.restarts(settings, _restarts_since(settings)),
        }
    if connectors.replaces(settings, "sink"):
        questions["connect"] = lambda: connectors.connectors(settings)
    if runs_on_ecs(settings):
        questions["ecs services"] = lambda: services.services(settings)
    if settings.kafka_bootstrap_servers and settings.clickhouse_host:
        questions[LEDGER] = lambda: gaps.ledger(settings, KAFKA_SECONDS)
    return Questions(questions)


@lru_cache(maxsize=1)
def _airbyte_questions(settings: Settings) -> Questions:
    return Questions({"airbyte syncs": lambda: failed_syncs(settings, CONNECTIONS)})


def _restarts_since(settings: Settings) -> dt.datetime:
    return dt.datetime.now(dt.UTC) - dt.timedelta(minutes=settings.alert_restart_minutes)


def _unreadable(answers: Mapping[str, Answer], settings: Settings) -> dict[str, str]:
    """By system, the first reason."""
    reasons: dict[str, str] = {}
    for part, answer in answers.items():
        system = part.partition(" ")[0]
        if not answer.has_value and system not in reasons and not (system == LEDGER and reasons):
            text = str(answer.error or f"no answer within {DEADLINE_SECONDS:.0f} s")
            reasons[system] = settings.conceal(text.splitlines()[0] if text else repr(answer.error))
    return reasons


def _answered(answers: Mapping[str, Answer], part: str) -> bool:
    return part in answers and answers[part].has_value
