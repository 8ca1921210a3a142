"""Daily bars by REST: the values of odd bars, and answers that are none."""

import ast
import datetime as dt
from collections.abc import Iterator
from typing import Any

import jinja2
import pytest

from polygon_assets.batch.daily import daily_open_close, grouped_daily
from polygon_assets.batch.streams import manifest
from polygon_assets.clients.polygon import PolygonApiError
from polygon_assets_tests.unit.clients.scripted_server import Answer, ScriptedServer, serving
from polygon_assets_tests.unit.clients.test_polygon import client

DAY = dt.date(2026, 11, 20)
PRICES = {"o": 1.5, "h": 2, "l": 1.25, "c": 1.75, "t": 1_795_208_400_000}
ODD_BARS: list[dict[str, Any]] = [
    {"T": "WHOLE", "v": 4.930645e6, "vw": 1.6, "n": 7, **PRICES},
    {"T": "FRACTION", "v": 25933.6, "vw": 1.6, "n": 7, "otc": True, **PRICES},
    {"T": "EXACT", "v": 25933, "dv": "25933.600001", **PRICES},
    {"T": "WITHOUT PRICES", "v": 7},
]
ODD_PRICES = {"symbol": "BRK.B", "from": str(DAY), "status": "OK", "open": 1, "high": 2.5, "low": 1, "close": 2, "volume": 12.5}


@pytest.fixture
def api() -> Iterator[ScriptedServer]:
    with serving() as server:
        yield server


def as_the_connector_would(stream: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record by the manifest's own expression."""
    (definition,) = [each for each in manifest()["streams"] if each["name"] == stream]
    expression = definition["transformations"][0]["fields"][0]["value"]
    made: dict[str, Any] = ast.literal_eval(
        jinja2.Template(expression).render(record=record, stream_interval={"start_time": f"{DAY}T00:00:00"})
    )
    return made


def test_volumes_are_exact_decimals_and_what_is_missing_is_null_by_either_way(api: ScriptedServer) -> None:
    api.script = [(200, {"status": "OK", "results": ODD_BARS})]
    records = grouped_daily(client(api, []), DAY)
    assert [record["volume"] for record in records] == ["4930645", "25933.6", "25933.600001", "7"]
    assert [record["otc"] for record in records] == [False, True, False, False]
    assert records[2]["vwap"] is None
    assert records == [as_the_connector_would("grouped_daily", bar) for bar in ODD_BARS]
    assert "adjusted=false" in api.paths[0]
    assert "include_otc=true" in api.paths[0]


def test_prices_of_a_ticker_without_extended_hours_have_nulls_by_either_way(api: ScriptedServer) -> None:
    missing: Answer = (404, {"status": "NOT_FOUND", "message": "Data not found."})
    api.script = [(200, ODD_PRICES), missing]
    assert daily_open_close(client(api, []), DAY, ["BRK.B", "NOPE"]) == [as_the_connector_would("daily_open_close", ODD_PRICES)]
    assert api.paths[1] == f"/v1/open-close/NOPE/{DAY}?adjusted=false"


def test_a_day_that_is_closed_or_not_over_has_no_bars(api: ScriptedServer) -> None:
    too_early = {"status": "NOT_AUTHORIZED", "message": "Attempted to request today's data before end of day. Please upgrade."}
    api.script = [(200, {"status": "OK", "resultsCount": 0}), (403, too_early)]
    rest = client(api, [])
    assert grouped_daily(rest, DAY) == grouped_daily(rest, DAY) == []


@pytest.mark.parametrize(
    "answer",
    [(404, b"404 page not found\n"), (403, {"status": "NOT_AUTHORIZED"}), (200, b"<html>"), (200, {"status": "ERROR"}), (200, [])],
    ids=str,
)
def test_a_wrong_address_a_missing_entitlement_and_an_answer_that_is_none_are_errors(api: ScriptedServer, answer: Answer) -> None:
    api.script = [answer]
    with pytest.raises(PolygonApiError):
        grouped_daily(client(api, []), DAY)


def test_a_bar_that_lacks_what_every_bar_has_is_named_with_its_day(api: ScriptedServer) -> None:
    api.script = [(200, {"status": "OK", "results": [*ODD_BARS, {"T": "HALF", **PRICES}]})]
    with pytest.raises(PolygonApiError, match=r"the vendor's bar of 2026-11-20 has no 'v': \{'T': 'HALF'"):
        grouped_daily(client(api, []), DAY)
