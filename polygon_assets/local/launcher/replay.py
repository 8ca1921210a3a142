"""A replay of one trading day on the embedded stack: what its options mean, which days can be replayed, and where its data are kept.

How fast market time runs is the exchange's business (`exchange.clock`); what a person at the terminal reads is `dev`'s.
"""

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from polygon_assets.market_calendar import NEW_YORK, CalendarHorizonError, MarketCalendar, Session

FIRST_DAY = dt.date(2026, 1, 2)
"""The first day that has a partition (`defs.partitions`, which nothing here may import; a test compares the two)."""
FOLDER = "replay"
"""In the data folder: a replay's data are apart from the live market's, whose days have the same dates. It is emptied before each
replay, because a day that an earlier one has closed would count as closed before it begins."""


class ReplayError(Exception):
    """The day cannot be replayed as asked; the message names the option, its value and the cure."""


def replay_of(options: Sequence[str]) -> dt.datetime | None:
    """New York time at which the exchange's options begin a replay, without a time zone; None where they ask for none.

    Raises ReplayError.
    """
    given = dict(pairwise(options))
    if "--replay" not in given:
        return None
    day = _parsed(given, "--replay", "%Y-%m-%d", "2026-11-20").date()
    session = _session(day)
    if "--replay-from" not in given:
        return session.extended_open.astimezone(NEW_YORK).replace(tzinfo=None)
    return dt.datetime.combine(day, _parsed(given, "--replay-from", "%H:%M", "15:50").time())


def refuse_unprovable(options: Sequence[str], today: dt.date) -> None:
    """Raises ReplayError for a day that the pipeline could not close and compare."""
    given = dict(pairwise(options))
    if (
        "--replay" in given
        and (day := _parsed(given, "--replay", "%Y-%m-%d", "2026-11-20").date()) < FIRST_DAY
    ):
        raise ReplayError(
            f"--replay {day}: days before {FIRST_DAY} have no partition; choose a trading day from {FIRST_DAY} on"
        )
    begins = replay_of(options)
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
            f"--replay-from {begins:%H:%M}: {day} closes at {close:%H:%M} New York, and without regular trades there is no daily bar "
            "to compare with; choose an earlier time"
        )


def dagster_home(project: Path, folder: Path) -> Path:
    """A DAGSTER_HOME for one replay: the project's configuration, with its storage in `folder`."""
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
            f"--replay {day}: US stocks do not trade on that day (weekend or holiday); choose a trading day"
        )
    return session


def _parsed(given: dict[str, str], option: str, form: str, example: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(given[option], form)  # noqa: DTZ007 - New York time, as on the command line
    except ValueError:
        raise ReplayError(f"{option} {given[option]}: write it like {example}") from None
