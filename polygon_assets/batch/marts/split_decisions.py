"""Reads people's decisions about contradictory splits, from a CSV beside this file and a setting.

Add a form or a check of decisions here; finding the contradictions belongs to dim_stock_split.sql.
"""

import csv
import datetime as dt
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import resources

from polygon_assets.settings import SHOWN_CHARACTERS, Settings, SettingsError

FILE = resources.files("polygon_assets.batch.marts") / "split_decisions.csv"
SETTING = "SPLIT_DECISIONS"
FORM = (
    "TICKER,YYYY-MM-DD,OLD SHARES,NEW SHARES, for example META,2026-11-16,1,2; "
    "1,1 means that there was no split"
)


@dataclass(frozen=True)
class SplitDecision:
    """All splits of a ticker on a day: `split_from` old shares became `split_to` new shares."""

    ticker: str
    execution_date: str
    """ISO 8601."""
    split_from: float
    split_to: float


def read(settings: Settings) -> list[SplitDecision]:
    """The decisions of the CSV and of SPLIT_DECISIONS, which overrides the CSV's of the same day.

    Raises SettingsError for a line of another form, and for two decisions of one source about the
    same splits.
    """
    records = csv.reader(FILE.read_text().splitlines())
    next(records)
    file = [(f"{FILE.name}, line {records.line_num}", record) for record in records if any(record)]
    setting = [(SETTING, record) for record in _records(settings.split_decisions)]
    return list({**_by_ticker_and_day(file), **_by_ticker_and_day(setting)}.values())


def _by_ticker_and_day(
    lines: Sequence[tuple[str, Sequence[str]]],
) -> dict[tuple[str, str], SplitDecision]:
    decisions: dict[tuple[str, str], SplitDecision] = {}
    for place, record in lines:
        decision = _decision(place, record)
        key = decision.ticker, decision.execution_date
        if decisions.setdefault(key, decision) != decision:
            raise SettingsError(
                f"{place}: {','.join(record)[:SHOWN_CHARACTERS]!r} contradicts an earlier decision "
                f"about {decision.ticker} on {decision.execution_date}: leave one of them"
            )
    return decisions


def as_json(decisions: Sequence[SplitDecision]) -> str:
    """The value of the parameter `decisions` in dim_stock_split.sql."""
    return json.dumps([asdict(decision) for decision in decisions])


def _records(setting: str) -> Iterator[list[str]]:
    lines = io.StringIO(setting.replace(";", "\n"))
    try:
        yield from (record for record in csv.reader(lines) if any(record))
    except csv.Error as error:
        raise SettingsError(
            f"{SETTING}: {setting[:SHOWN_CHARACTERS]!r} is no CSV ({error}): write {FORM}"
        ) from None


def _decision(place: str, record: Sequence[str]) -> SplitDecision:
    shown = repr(",".join(record)[:SHOWN_CHARACTERS])
    try:
        ticker, day, split_from, split_to = (cell.strip() for cell in record[:4])
        decision = SplitDecision(
            ticker, dt.date.fromisoformat(day).isoformat(), float(split_from), float(split_to)
        )
    except ValueError as error:
        raise SettingsError(
            f"{place}: {shown} is no decision about a split ({error}): write {FORM}"
        ) from None
    if not (
        decision.ticker
        and 0 < decision.split_from < float("inf")
        and 0 < decision.split_to < float("inf")
    ):
        raise SettingsError(
            f"{place}: {shown} has no ticker or no positive numbers of shares: write {FORM}"
        )
    return decision
