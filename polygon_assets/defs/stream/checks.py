"""Checks of the running streams, judged while the market is open by what Kafka and ClickHouse hold.

Add a check of the live data here; a check of one computation (the CSV's lines, the bars' sums)
belongs to its asset.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import dagster as dg

from polygon_assets import messages, topics
from polygon_assets.clients import market_clock
from polygon_assets.defs.graph.keys import (
    DEAD_LETTERS,
    FILTERED,
    RAW,
    RAW_ARCHIVE,
    STOCK_AGGREGATES,
    WEBSOCKET,
)
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.inspection import InspectionError, connectors, streams, tables
from polygon_assets.inspection.health import (
    absence,
    account_problem,
    clock_problem,
    event_age,
    events_are_due,
    freshness_problem,
    longest_wait,
    oldest_event,
    ready_standbys,
    refusal_problem,
    standby_problem,
    waiting_problem,
)
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import WALL_CLOCK, MarketClock, calendar_of
from polygon_assets.messages import PROGRAMS, Heartbeat, unaccounted, utc
from polygon_assets.settings import Settings

SAMPLE = 100
"""Messages that are checked in each partition."""

Judge = Callable[[Settings, dt.datetime], dg.AssetCheckResult]


@dataclass(frozen=True)
class StreamCheck:
    """One check of the streams, and how it judges."""

    name: str
    asset: dg.AssetKey
    description: str
    judge: Judge

    def definition(self) -> dg.AssetChecksDefinition:
        @dg.asset_check(name=self.name, asset=self.asset, description=self.description)
        def check(environment: Environment) -> dg.AssetCheckResult:
            return while_open(
                environment.settings(),
                environment.calendar(),
                dt.datetime.now(dt.UTC),
                self.judge,
                environment.clock(),
            )

        return check


def stream_checks() -> list[dg.AssetChecksDefinition]:
    """Every check of the streams."""
    return [check.definition() for check in STREAM_CHECKS]


def while_open(
    settings: Settings,
    calendar: MarketCalendar,
    now: dt.datetime,
    judge: Judge,
    clock: MarketClock = WALL_CLOCK,
) -> dg.AssetCheckResult:
    """The judgement, or `closed` outside the session.

    A system that does not answer fails the check, because nothing else would report it.
    """
    if not calendar.is_open(clock.market(now)):
        return dg.AssetCheckResult(passed=True, description="closed")
    try:
        return judge(settings, now)
    except InspectionError as error:
        return dg.AssetCheckResult(passed=False, description=str(error))


def judge_channels(beat: Heartbeat | None, now: dt.datetime) -> dg.AssetCheckResult:
    if (problem := absence(beat, now)) or beat is None:
        return dg.AssetCheckResult(passed=False, description=f"producer: {problem}")
    return dg.AssetCheckResult(
        passed=0 < beat.desired <= beat.confirmed,
        description=f"{beat.confirmed} of {beat.desired} channels are confirmed"
        + "".join(f"\n{line}" for line in beat.unconfirmed),
        metadata={"desired": beat.desired, "confirmed": beat.confirmed},
    )


def judge_freshness(
    beat: Heartbeat | None,
    now: dt.datetime,
    oldest: dt.timedelta,
    are_due: bool,
    clock: MarketClock = WALL_CLOCK,
) -> dg.AssetCheckResult:
    """Judge the age of the newest event, in wall time even where a replay stamps market time."""
    problem = freshness_problem(beat, now, clock, oldest, are_due)
    age = _age_seconds(beat, now, clock)
    quiet = "" if are_due else "; extended hours may be quiet"
    newest = "no event yet" if age is None else f"the newest event is {age:.0f} s old{quiet}"
    return dg.AssetCheckResult(
        passed=not problem,
        description=problem or newest,
        metadata={} if age is None else {"newest_event_age_seconds": age},
    )


def _age_seconds(beat: Heartbeat | None, now: dt.datetime, clock: MarketClock) -> float | None:
    """The newest event's age for the plot, of a failed check too; None where it is not known."""
    with suppress(ValueError, OverflowError, OSError):  # the stamp is no time
        age = event_age(beat, now, clock) if beat else None
        return age.total_seconds() if age is not None else None
    return None


def judge_waiting(
    since: dt.datetime | None, now: dt.datetime, lag: int, longest: dt.timedelta
) -> dg.AssetCheckResult:
    waited = now - since if since else dt.timedelta()
    return dg.AssetCheckResult(
        passed=not waiting_problem(since, now, longest),
        description=f"{lag:,} messages wait, the oldest for {waited.total_seconds():.0f} s"
        if since
        else "nothing waits",
        metadata={"lag_messages": lag, "oldest_waits_seconds": waited.total_seconds()},
    )


def judge_refusals(
    beats: Mapping[str, Heartbeat], now: dt.datetime, settings: Settings
) -> dg.AssetCheckResult:
    """Judge each program by what it read itself.

    The programs started at different times, and the filter's millions would hide a bad producer.
    """
    lines: list[str] = []
    metadata: dict[str, int] = {}
    passed = True
    for program in PROGRAMS:
        if connectors.replaces(settings, program):
            lines.append(f"{program}: replaced by {connectors.KAFKA_CONNECT}")
            continue
        beat = beats.get(program)
        if (problem := absence(beat, now)) or beat is None:
            passed = False
            lines.append(f"{program}: {problem}")
            continue
        refused, read = beat.counters.get("refused", 0), beat.counters.get("read", 0)
        passed &= refused <= settings.alert_refused_share * read
        passed &= not refusal_problem(beat, settings)
        newest = f", the newest because: {beat.last_refusal}" if beat.last_refusal else ""
        lines.append(f"{program}: {refused:,} refused, {read:,} read since it started{newest}")
        metadata |= {f"{program}_refused": refused, f"{program}_read": read}
    return dg.AssetCheckResult(passed=passed, description="\n".join(lines), metadata=metadata)


def judge_clocks(
    beat: Heartbeat | None, now: dt.datetime, settings: Settings
) -> dg.AssetCheckResult:
    if (problem := absence(beat, now)) or beat is None:
        return dg.AssetCheckResult(passed=False, description=f"producer: {problem}")
    if beat.arrival_delay_ms is None:
        return dg.AssetCheckResult(passed=True, description="no live event yet")
    seconds, problem = beat.arrival_delay_ms / 1000, clock_problem(beat, settings)
    return dg.AssetCheckResult(
        passed=not problem,
        description=problem or f"bars arrive {seconds:.1f} s after their second ends",
        metadata={"arrival_delay_seconds": seconds},
    )


def judge_standby(
    copies: int, standbys: Mapping[str, Heartbeat], now: dt.datetime
) -> dg.AssetCheckResult:
    """Judge whether enough copies wait to replace the leader."""
    ready = ready_standbys(standbys, now)
    description = (
        "\n".join(ready) or "no standby"
        if copies > 1
        else "one copy by PRODUCER_COPIES: after a failure the gap lasts until it is restarted"
    )
    return dg.AssetCheckResult(
        passed=not standby_problem(copies, standbys, now),
        description=f"{len(ready)} of {copies - 1} standby(s): {description}",
        metadata={"standbys": len(ready)},
    )


def judge_account(beats: Mapping[str, Heartbeat], now: dt.datetime) -> dg.AssetCheckResult:
    """Judge the accounts of the running programs; other checks report one that does not run."""
    alive = {
        program: beat
        for program in PROGRAMS
        if (beat := beats.get(program)) and not absence(beat, now)
    }
    problems = [
        f"{program}: {problem}"
        for program, beat in alive.items()
        if (problem := account_problem(beat))
    ]
    read = sum(beat.counters.get("read", 0) for beat in alive.values())
    return dg.AssetCheckResult(
        passed=not problems,
        description="\n".join(problems)
        or f"all {read:,} events read by {len(alive)} programs are accounted for",
        metadata={f"{program}_unaccounted": unaccounted(beat) for program, beat in alive.items()},
    )


def judge_rows(checked: int, missing: Sequence[messages.FilteredAggregate]) -> dg.AssetCheckResult:
    first = (
        f", first {missing[0].symbol} at {utc(missing[0].start_timestamp):%Y-%m-%d %H:%M:%S} UTC"
        if missing
        else ""
    )
    return dg.AssetCheckResult(
        passed=not missing,
        description=f"{len(missing)} of the last {checked} committed messages are not rows{first}",
        metadata={"checked_messages": checked, "missing": len(missing)},
    )


def _channels_confirmed(settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    return judge_channels(streams.heartbeats(settings).get("producer"), now)


def _fresh(settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    clock, oldest = market_clock.connect(settings), oldest_event(settings)
    are_due = events_are_due(calendar_of(settings), clock, now, oldest)
    beat = streams.heartbeats(settings).get("producer")
    return judge_freshness(beat, now, oldest, are_due, clock)


def _filter_keeps_up(settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    return _keeps_up("filter", settings, now)


def _sink_keeps_up(settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    return _keeps_up("sink", settings, now)


def _archiver_keeps_up(settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    return _keeps_up("archiver", settings, now)


def _keeps_up(program: str, settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    group, topic = topics.READERS[program]
    lag = streams.positions(settings, group, topic).lag
    since = streams.waiting_since(settings, group, topic)
    return judge_waiting(since, now, lag, longest_wait(program, settings))


def _dead_letters_bounded(settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    return judge_refusals(streams.heartbeats(settings), now, settings)


def _clocks(settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    return judge_clocks(streams.heartbeats(settings).get("producer"), now, settings)


def _standby(settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    return judge_standby(settings.producer_copies, streams.standbys(settings), now)


def _account(settings: Settings, now: dt.datetime) -> dg.AssetCheckResult:
    return judge_account(streams.heartbeats(settings), now)


def _offsets_account_for_rows(settings: Settings, _now: dt.datetime) -> dg.AssetCheckResult:
    processed = streams.last_processed(settings, topics.SINK_GROUP, topics.FILTERED_TOPIC, SAMPLE)
    return judge_rows(len(processed), tables.not_stored(settings, processed))


STREAM_CHECKS = (
    StreamCheck(
        "channels_confirmed",
        WEBSOCKET,
        "The vendor confirmed every desired channel.",
        _channels_confirmed,
    ),
    StreamCheck(
        "fresh_while_open",
        RAW,
        "The newest event is at most ALERT_SILENCE_SECONDS old during the regular session.",
        _fresh,
    ),
    StreamCheck(
        "filter_keeps_up",
        RAW,
        "Nothing received waits for the filter longer than ALERT_LAG_SECONDS.",
        _filter_keeps_up,
    ),
    StreamCheck(
        "sink_keeps_up",
        FILTERED,
        "Nothing received waits for the sink longer than ALERT_LAG_SECONDS.",
        _sink_keeps_up,
    ),
    StreamCheck(
        "archiver_keeps_up",
        RAW_ARCHIVE,
        "Nothing received waits for the archiver longer than ARCHIVE_MAX_SECONDS and "
        "ALERT_LAG_SECONDS.",
        _archiver_keeps_up,
    ),
    StreamCheck(
        "clocks_agree",
        WEBSOCKET,
        "The vendor's clock is not ahead of the producer's: no bar arrives before its second ends.",
        _clocks,
    ),
    StreamCheck(
        "standby_ready",
        WEBSOCKET,
        "As many producers as PRODUCER_COPIES asks for wait to replace the one that streams.",
        _standby,
    ),
    StreamCheck(
        "events_accounted_for",
        RAW,
        "Every event read is forwarded, refused or a status; none is lost unseen.",
        _account,
    ),
    StreamCheck(
        "dead_letters_bounded",
        DEAD_LETTERS,
        "No program refused more of what it read than ALERT_REFUSED_SHARE allows (1 %).",
        _dead_letters_bounded,
    ),
    StreamCheck(
        "offsets_account_for_rows",
        STOCK_AGGREGATES,
        "The last messages that the sink committed are rows, in this or a newer version.",
        _offsets_account_for_rows,
    ),
)
