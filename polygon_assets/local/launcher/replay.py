"""A replay of one trading day: its options, the days that can be replayed, and its data folder.

Add a rule about replayed days here; the speed of market time belongs to `exchange.market.clock`,
the lines on the terminal belong to `dev`.
"""

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.market_calendar import NEW_YORK, CalendarHorizonError, MarketCalendar, Session

FIRST_DAY = dt.date(2026, 1, 2)
"""The first day with a partition, as in `defs.graph.partitions`.

This package may not import `defs`; a test compares the two.
"""
FOLDER = "replay"
"""Subfolder for a replay's data: the live market's days have the same dates.

The folder is emptied before each replay: a day that an earlier replay closed would otherwise count
as closed before the new replay begins.
"""


class ReplayError(PolygonAssetsError):
    """The day cannot be replayed; the message names the option, its value and the cure."""


def replay_start(options: Sequence[str]) -> dt.datetime | None:
    """New York time, without zone, at which a replay begins; None if the options start no replay.

    `options` are those of `python -m polygon_assets.local.exchange`. Raises ReplayError.
    """
    values = dict(pairwise(options))
    if "--replay" not in values:
        return None
    day = _parsed(values, "--replay", "%Y-%m-%d", "2026-11-20").date()
    session = _session(day)
    if "--replay-from" not in values:
        return session.extended_open.astimezone(NEW_YORK).replace(tzinfo=None)
    return dt.datetime.combine(day, _parsed(values, "--replay-from", "%H:%M", "15:50").time())


def refuse_unprovable(options: Sequence[str], today: dt.date) -> None:
    """Raise ReplayError for a day that the pipeline could not close and compare."""
    values = dict(pairwise(options))
    if (
        "--replay" in values
        and (day := _parsed(values, "--replay", "%Y-%m-%d", "2026-11-20").date()) < FIRST_DAY
    ):
        raise ReplayError(
            f"--replay {day}: days before {FIRST_DAY} have no partition; "
            f"choose a trading day from {FIRST_DAY} on"
        )
    begins = replay_start(options)
    if begins is None:
        return
    day, session = begins.date(), _session(begins.date())
    if day > today:
        raise ReplayError(
            f"--replay {day}: partitions end with today, {today}; choose a trading day up to today"
        )
    if begins.replace(tzinfo=NEW_YORK) >= session.regular_close:
        close = session.regular_close.astimezone(NEW_YORK)
        raise ReplayError(
            f"--replay-from {begins:%H:%M}: {day} closes at {close:%H:%M} New York, and without "
            "regular trades there is no daily bar to compare with; choose an earlier time"
        )


def dagster_home(project: Path, folder: Path) -> Path:
    """Create a DAGSTER_HOME for one replay: the project's dagster.yaml with storage in `folder`."""
    home = folder / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    configuration = (
        (project / "dagster.yaml").read_text().replace(".local/dagster", str(home.resolve()))
    )
    (home / "dagster.yaml").write_text(configuration)
    return home


def _session(day: dt.date) -> Session:
    try:
        session = MarketCalendar("NYSE").session(day)
    except CalendarHorizonError as error:
        raise ReplayError(f"--replay {day}: {error}") from error
    if session is None:
        raise ReplayError(
            f"--replay {day}: US stocks do not trade on that day (weekend or holiday); "
            "choose a trading day"
        )
    return session


def _parsed(values: dict[str, str], option: str, form: str, example: str) -> dt.datetime:
    """The option's value as New York time without a zone, as the command line takes it."""
    try:
        return dt.datetime.strptime(values[option], form)  # noqa: DTZ007
    except ValueError:
        raise ReplayError(f"{option} {values[option]}: write it like {example}") from None
