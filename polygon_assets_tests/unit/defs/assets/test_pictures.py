"""The pictures and samples on asset pages show the numbers they were given."""

import base64
import datetime as dt
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.batch.reconciliation import Verdict
from polygon_assets.defs.assets.reconciliation import SHOWN_DAYS, days_metadata
from polygon_assets.defs.assets.stream_gaps import SHOWN_SETTLED, ledger_metadata
from polygon_assets.defs.assets.top_movers import movers_table
from polygon_assets.defs.graph import plots
from polygon_assets.inspection import gaps, tables
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.serving.gap_ledger import GapEntry, GapState
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.serving.conftest import client, session_client, settings
from polygon_assets_tests.unit.serving.seconds import Second, insert

__all__ = ["client", "session_client", "settings"]
MORNING = dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
SVG = "{http://www.w3.org/2000/svg}"


def drawing(picture: dg.MetadataValue) -> ElementTree.Element:
    encoded = str(picture.value).removesuffix(")").partition("base64,")[2]
    return ElementTree.fromstring(base64.b64decode(encoded))


def shown(picture: dg.MetadataValue) -> dict[str, list[float]]:
    """The values of each series of bars, by its name in the legend."""
    root = drawing(picture)
    titles = [_text(group) for group in _groups(root, "legend")]
    series = [
        [_number(desc) for desc in group.iter(f"{SVG}desc") if _has(desc, "value")]
        for group in _groups(root, "series")
    ]
    return dict(zip(titles, [values for values in series if values], strict=True))


def _groups(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [group for group in root.iter(f"{SVG}g") if _has(group, name)]


def _has(element: ElementTree.Element, name: str) -> bool:
    return name in element.get("class", "").split()


def _text(element: ElementTree.Element) -> str:
    return "".join(element.itertext()).strip()


def _number(element: ElementTree.Element) -> float:
    return float(_text(element).rpartition(": ")[2])


def test_bars_have_the_values_of_their_series() -> None:
    series = {"match": [3.0, 0.0], "drift": [1.0, 2.0]}
    picture = plots.stacked_bars("days", ["11-19", "11-20"], series, [plots.GOOD, plots.BAD])
    assert shown(picture) == series


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_a_line_goes_through_its_points(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hours are New York's on every machine."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    points = [(MORNING + number * MINUTE, value) for number, value in enumerate((0.0, 4.0, 1.0))]
    root = drawing(plots.line("seconds", points, NEW_YORK))
    (path,) = (path for group in _groups(root, "series") for path in group.iter(f"{SVG}path"))
    heights = [-float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", path.get("d", ""))]
    # The area under the line begins and ends on the axis.
    axis, first, second, third, end = heights
    assert axis == first == end
    assert (third - axis) / (second - axis) == pytest.approx(0.25)
    monkeypatch.undo()
    time.tzset()
    assert "10:00" in "".join(root.itertext())


@pytest.mark.parametrize("count", [0, 1, 960])
def test_a_line_may_have_no_point_and_many(count: int) -> None:
    points = [(MORNING + number * MINUTE, 1.0) for number in range(count)]
    picture = plots.line("seconds", points, NEW_YORK)
    assert str(picture.value).startswith("![seconds](data:image/svg+xml;")
    assert len(str(picture.value)) < 100_000


def _counted(day: int, verdict: Verdict, symbols: int) -> Mapping[str, Any]:
    first = dt.date(2026, 9, 1)
    return {
        "trading_day": first + dt.timedelta(days=day),
        "verdict": str(verdict),
        "symbols": symbols,
    }


def test_the_newest_compared_days_are_shown_by_verdict() -> None:
    rows = [_counted(day, Verdict.MATCH, day) for day in range(SHOWN_DAYS + 2)]
    rows.append(_counted(SHOWN_DAYS + 1, Verdict.MISSING, 5))
    values = shown(days_metadata(rows)["days"])
    assert values == {
        "match": [float(day) for day in range(2, SHOWN_DAYS + 2)],
        "missing_in_stream": [*[0.0] * (SHOWN_DAYS - 1), 5.0],
    }


def gap(number: int, since: dt.datetime, seconds: float, state: GapState) -> GapEntry:
    return GapEntry(f"g{number}", since, since + dt.timedelta(seconds=seconds), "crash", (), state)


def test_the_ledger_is_shown_by_day_and_state() -> None:
    day = dt.timedelta(days=1)
    ledger = [
        gap(1, MORNING - 20 * day, 7, "open"),
        gap(2, MORNING - day, 5, "verified"),
        gap(3, MORNING, 60, "verified"),
        gap(4, MORNING + MINUTE, 30, "open"),
    ]
    values = shown(ledger_metadata(ledger, [], MORNING + day)["by_day"])
    assert values == {"verified": [5.0, 60.0], "open": [0.0, 30.0]}
    assert "by_day" not in ledger_metadata(ledger[:1], [], MORNING)
    assert "by_day" not in ledger_metadata([], [], MORNING)


def test_open_gaps_and_the_newest_settled_ones_are_tables() -> None:
    settled = [gap(number, MORNING + number * MINUTE, 5, "verified") for number in range(60)]
    waived = replace(settled[0], gap_id="w", state="waived", note="halted: a | b", rows_added=1234)
    waived = replace(waived, updated_at=MORNING + 90 * MINUTE)
    unreadable = replace(gap(61, MORNING, 30, "open"), cause="a|b\nc")
    ledger = [unreadable, waived, *settled]
    rows = gaps.rows(gaps.unsettled(ledger), None, market_is_open=True, now=MORNING)
    values = {name: entry.value for name, entry in ledger_metadata(ledger, rows, MORNING).items()}
    assert (values["open_gaps"], values["settled_gaps"], values["missing_seconds"]) == (1, 61, 30)
    assert str(values["gaps"]).splitlines()[2:] == [
        r"| 2026-11-20 09:30:00 | 09:30:30 | 30 s | a\|b c | all | open | 0 | 0 |"
    ]
    newest = str(values["newest_settled"]).splitlines()[2:]
    assert len(newest) == SHOWN_SETTLED
    assert newest[:2] == [
        "| 2026-11-20 09:30:00 | 09:30:05 | 5 s | crash | all | waived | 1,234 | 0 |",
        "| 2026-11-20 10:29:00 | 10:29:05 | 5 s | crash | all | verified | 0 | 0 |",
    ]
    assert values["notes"] == "* w (2026-11-20 09:30:00): halted: a | b"
    nothing = ledger_metadata([], [], MORNING)
    assert (nothing["gaps"].value, nothing["newest_settled"].value) == ("no open gap", "none yet")


def test_movers_are_a_table_and_none_are_said_so() -> None:
    row = {
        "symbol": "AAPL",
        "last_price": 101.0,
        "price_10s_ago": 100.0,
        "percentage_change_10s": 1.0,
        "volume_70s": Decimal("1234.5"),
    }
    assert "| AAPL | 101.00 | 100.00 | +1.00 % | 1,234 |" in str(movers_table([row]).value)
    assert movers_table([]).value == "no symbol traded within 70 s"


def second(start: dt.datetime, price: float, delay: float = 1.0) -> Second:
    start_ms = round(1000 * start.timestamp())
    received_us = 1000 * (start_ms + round(1000 * (1 + delay)))
    return Second("A", start_ms, received_us, price, price, price, price, Decimal(5), price)


def test_clickhouse_answers_with_movers_and_seconds_by_minute(
    client: Client, settings: Settings
) -> None:
    """Within the hours of `stock_recent`, and not over midnight in New York."""
    minute = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0) - 10 * MINUTE
    if minute.astimezone(NEW_YORK).date() != (minute + MINUTE).astimezone(NEW_YORK).date():
        minute -= 10 * MINUTE
    seconds = [
        second(minute + dt.timedelta(seconds=at), price)
        for at, price in ((0, 10.0), (10, 11.0), (59, 11.0), (60, 12.0))
    ]
    insert(client, [*seconds, second(minute, 9.0, delay=8.0)])
    day = minute.astimezone(NEW_YORK).date()
    assert tables.seconds_by_minute(settings, day) == [(minute, 3), (minute + MINUTE, 1)]
    (mover,) = tables.movers(settings, minute + dt.timedelta(seconds=11), 10)
    assert (mover["symbol"], mover["last_price"], mover["price_10s_ago"]) == ("A", 11.0, 9.0)
