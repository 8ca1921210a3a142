"""Heartbeats as Dagster events: observations while a program runs, materializations on progress.

Add a number of a heartbeat here, as a plain number that the asset page can plot; when a program
is restarted belongs to `supervision`. An event costs about 12 ms and a materialization may start
runs, so this module also decides how often events are written.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import dagster as dg

from polygon_assets import topics
from polygon_assets.defs.graph.keys import (
    DEAD_LETTERS,
    FILTERED,
    RAW,
    RAW_ARCHIVE,
    STOCK_AGGREGATES,
    STOCK_LAST,
    STOCK_RECENT,
    STOCK_VERSIONS,
    WEBSOCKET,
)
from polygon_assets.defs.stream.trend import Trend
from polygon_assets.messages import Heartbeat

OBSERVE_SECONDS = 30.0
MATERIALIZE_SECONDS = 60.0
"""The UI shows an asset's newest materialization: about a minute old while events flow."""
CHANGE_SECONDS = 5.0
"""A change is written no sooner: a flapping program must not fill the event log."""

Metadata = Mapping[str, dg.MetadataValue]


@dataclass(frozen=True)
class Subject:
    """An asset that a program's heartbeat describes."""

    key: dg.AssetKey
    counters: tuple[str, ...] = ()
    progress: str = ""
    """The counter whose growth is a materialization; empty where only a closed day is one."""
    flow: bool = True
    """Whether rate, lag and newest event describe this asset."""
    channels: bool = False
    observed: bool = True
    """False for tables that the same insert fills: one of them is observed."""


SUBJECTS: Mapping[str, tuple[Subject, ...]] = {
    "producer": (
        Subject(
            WEBSOCKET,
            counters=("read", "refused", "dropped", "reconnects"),
            progress="forwarded",
            channels=True,
        ),
        Subject(RAW, counters=("forwarded", "retries"), progress="forwarded"),
    ),
    "filter": (
        Subject(FILTERED, counters=("read", "forwarded", "unsubscribed"), progress="forwarded"),
        Subject(DEAD_LETTERS, counters=("refused",), progress="refused", flow=False),
    ),
    "sink": (
        Subject(STOCK_AGGREGATES, counters=("read", "forwarded", "retries")),
        Subject(STOCK_VERSIONS, counters=("forwarded",), progress="forwarded", observed=False),
        Subject(STOCK_RECENT, counters=("forwarded",), progress="forwarded", observed=False),
        Subject(STOCK_LAST, counters=("forwarded",), progress="forwarded", observed=False),
    ),
    "archiver": (
        Subject(RAW_ARCHIVE, counters=("read", "forwarded", "retries"), progress="forwarded"),
    ),
}


class EventReporter:
    """The Reporter of one run: writes its events and its log."""

    def __init__(
        self,
        program: str,
        log_event: Callable[[dg.AssetObservation | dg.AssetMaterialization], None],
        log: Callable[[str], None],
        kafka_error: Callable[[], str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._subjects = SUBJECTS[program]
        self._log_event = log_event
        self._log = log
        self._kafka_error = kafka_error
        self._clock = clock
        self._observed_at = -OBSERVE_SECONDS
        self._shown: tuple[object, ...] = ()
        self._materialized_at: dict[dg.AssetKey, float] = {}
        self._progress: dict[dg.AssetKey, tuple[str, int]] = {}
        self._trend = Trend()

    def log(self, message: str) -> None:
        """Write a line into the run's log."""
        self._log(message)

    def observe(self, heartbeat: Heartbeat | None, restarts: int) -> None:
        """Write the events that are due: every 30 s, and sooner when the state changed."""
        if heartbeat:
            self._trend.take(heartbeat)
        shown = _shown(heartbeat, restarts)
        age = self._clock() - self._observed_at
        if age < (OBSERVE_SECONDS if shown == self._shown else CHANGE_SECONDS):
            return
        self._observed_at, self._shown = self._clock(), shown
        for subject in self._subjects:
            metadata = (
                _metadata(subject, heartbeat, restarts)
                if heartbeat
                else _no_heartbeat(self._kafka_error(), restarts)
            )
            # One picture for the tables that one insert fills, and none beside "no heartbeat".
            is_drawn = heartbeat and subject.flow and subject.observed
            picture = self._trend.picture() if is_drawn else {}
            if subject.observed:
                seen = metadata if subject.progress else {**metadata, **picture}
                self._log_event(dg.AssetObservation(subject.key, metadata=seen))
            if heartbeat and self._progressed(subject, heartbeat):
                self._log_event(
                    dg.AssetMaterialization(subject.key, metadata={**metadata, **picture})
                )

    def _progressed(self, subject: Subject, heartbeat: Heartbeat) -> bool:
        count = heartbeat.counters.get(subject.progress, 0)
        instance, before = self._progress.get(subject.key, ("", 0))
        # A new instance counts from 0 again.
        grown = count > (before if instance == heartbeat.instance else 0)
        due = (
            self._clock() - self._materialized_at.get(subject.key, -MATERIALIZE_SECONDS)
            >= MATERIALIZE_SECONDS
        )
        if grown and due:
            self._materialized_at[subject.key] = self._clock()
            self._progress[subject.key] = (heartbeat.instance, count)
        return grown and due


def _shown(heartbeat: Heartbeat | None, restarts: int) -> tuple[object, ...]:
    """What a person wants to see at once when it changes."""
    if heartbeat is None:
        return (None, restarts)
    return (
        heartbeat.instance,
        heartbeat.state,
        heartbeat.detail,
        heartbeat.desired,
        heartbeat.confirmed,
        restarts,
    )


def _metadata(subject: Subject, beat: Heartbeat, restarts: int) -> Metadata:
    counters = {
        name: dg.MetadataValue.int(beat.counters[name])
        for name in subject.counters
        if name in beat.counters
    }
    return {
        "state": dg.MetadataValue.text(
            f"{beat.state}: {beat.detail}" if beat.detail else beat.state
        ),
        **(_flow(beat) if subject.flow else {}),
        **(_channels(beat) if subject.channels else {}),
        **counters,
        "restarts": dg.MetadataValue.int(restarts),
        "instance": dg.MetadataValue.text(beat.instance),
    }


def _flow(beat: Heartbeat) -> Metadata:
    metadata: dict[str, dg.MetadataValue] = {
        "rate_per_second": dg.MetadataValue.float(round(beat.rate, 2))
    }
    if beat.lag is not None:
        metadata["lag_messages"] = dg.MetadataValue.int(beat.lag)
    if beat.arrival_delay_ms is not None:
        metadata["arrival_delay_seconds"] = dg.MetadataValue.float(beat.arrival_delay_ms / 1000)
    if beat.newest_event is not None:
        metadata["newest_event"] = dg.MetadataValue.timestamp(beat.newest_event / 1000)
        metadata["newest_event_age_seconds"] = dg.MetadataValue.float(
            round((beat.sent_at - beat.newest_event) / 1000, 3)
        )
    return metadata


def _channels(beat: Heartbeat) -> Metadata:
    metadata: dict[str, dg.MetadataValue] = {
        "channels_desired": dg.MetadataValue.int(beat.desired),
        "channels_confirmed": dg.MetadataValue.int(beat.confirmed),
        "subscriptions_version": dg.MetadataValue.text(beat.subscriptions_version),
    }
    if beat.unconfirmed:
        metadata["unconfirmed"] = dg.MetadataValue.md(
            "\n".join(f"* {channel}" for channel in beat.unconfirmed)
        )
    return metadata


def _no_heartbeat(kafka_error: str, restarts: int) -> Metadata:
    text = f"no heartbeat: {kafka_error or f'none in {topics.STATUS_TOPIC} yet'}"
    return {"state": dg.MetadataValue.text(text), "restarts": dg.MetadataValue.int(restarts)}
