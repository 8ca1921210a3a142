"""Daily bars by REST: the values of odd bars, equal to the connector's, and unusable answers.

Running the connector itself belongs to processes/test_source_polygon.py.
"""

import ast
import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

import jinja2.sandbox
import pytest

from polygon_assets.batch.airbyte.connector import manifest, streams
from polygon_assets.batch.raw.column_types import column_type
from polygon_assets.batch.raw.daily_records import daily_open_close, grouped_daily
from polygon_assets.clients.polygon import ATTEMPTS
from polygon_assets.clients.polygon_answers import PolygonApiError, PolygonNoAnswerError
from polygon_assets_tests.unit.clients.scripted_server import Answer, ScriptedServer, serving
from polygon_assets_tests.unit.clients.test_polygon import NO_LISTS, client

DAY = dt.date(2026, 11, 20)
PRICES = {"o": 1.5, "h": 2, "l": 1.25, "c": 1.75, "t": 1_795_208_400_000}
ODD_BARS: list[dict[str, Any]] = [
    {"T": "WHOLE", "v": 4.930645e6, "vw": 1.6, "n": 7, **PRICES},
    {"T": "FRACTION", "v": 25933.6, "vw": 1.6, "n": 7, "otc": True, **PRICES},
    {"T": "EXACT", "v": 25933, "dv": "25933.600001", **PRICES},
    {"T": "WITHOUT PRICES", "v": 7},
]
ODD_PRICES = {
    "symbol": "BRK.B",
    "from": str(DAY),
    "status": "OK",
    "open": 1,
    "high": 2.5,
    "low": 1,
    "close": 2,
    "volume": 12.5,
}


@pytest.fixture
def api() -> Iterator[ScriptedServer]:
    with serving() as server:
        yield server


def as_the_connector_would(stream: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record that the manifest's own expression makes."""
    [definition] = [declared for declared in manifest()["streams"] if declared["name"] == stream]
    expression = definition["transformations"][0]["fields"][0]["value"]
    environment = jinja2.Environment(autoescape=False)  # no HTML is made here
    environment.filters["regex_search"] = _regex_search
    text = environment.from_string(expression).render(
        record=record, stream_interval={"start_time": f"{DAY}T00:00:00"}
    )
    renamed: dict[str, Any] = ast.literal_eval(text)
    return renamed


def is_refused_by_the_connector(stream: str, body: Any) -> bool:
    """Whether the manifest's last filter repeats the request; an unreadable body counts as {}."""
    [definition] = [declared for declared in manifest()["streams"] if declared["name"] == stream]
    handler = _resolved(_resolved(definition["retriever"]["requester"])["error_handler"])
    condition = handler["response_filters"][-1]["predicate"]
    response = body
    if isinstance(body, bytes):
        try:
            response = json.loads(body)
        except ValueError:
            response = {}
    text = (
        jinja2.sandbox.SandboxedEnvironment(autoescape=False)
        .from_string(condition)
        .render(
            response=response,
            parameters=definition["$parameters"],
            request_url=f"http://host/v1/open-close/BRK.B/{DAY}",
        )
    )
    return text not in ("False", "[]", "")


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the manifest with what its `$ref` names."""
    if not (reference := part.get("$ref")):
        return part
    named = manifest()["definitions"][reference.removeprefix("#/definitions/")]
    return {**_resolved(named), **part, "$ref": None}


def _regex_search(value: str, regex: str) -> str:
    """The filter of Airbyte's runtime, rewritten because importing the runtime takes seconds."""
    match = re.search(regex, value)
    return match[1] if match else ""


def test_rest_and_connector_give_exact_volumes_and_null_for_missing_values(
    api: ScriptedServer,
) -> None:
    api.script = [(200, {"status": "OK", "results": ODD_BARS})]
    records = grouped_daily(client(api, []), DAY)
    assert [record["volume"] for record in records] == ["4930645", "25933.6", "25933.600001", "7"]
    assert [record["otc"] for record in records] == [False, True, False, False]
    assert records[2]["vwap"] is None
    assert records == [as_the_connector_would("grouped_daily", bar) for bar in ODD_BARS]
    assert "adjusted=false" in api.paths[0]
    assert "include_otc=true" in api.paths[0]


def test_rest_and_connector_give_null_for_prices_of_hours_without_trades(
    api: ScriptedServer,
) -> None:
    missing: Answer = (404, {"status": "NOT_FOUND", "message": "Data not found."})
    api.script = [(200, ODD_PRICES), missing]
    assert daily_open_close(client(api, []), DAY, ["BRK.B", "NOPE"]) == [
        as_the_connector_would("daily_open_close", ODD_PRICES)
    ]
    assert api.paths[1] == f"/v1/open-close/NOPE/{DAY}?adjusted=false"


def test_a_day_that_is_closed_or_not_over_has_no_bars(api: ScriptedServer) -> None:
    too_early = {
        "status": "NOT_AUTHORIZED",
        "message": "Attempted to request today's data before end of day. Please upgrade.",
    }
    api.script = [(200, {"status": "OK", "resultsCount": 0}), (403, too_early)]
    rest = client(api, [])
    assert grouped_daily(rest, DAY) == grouped_daily(rest, DAY) == []


@pytest.mark.parametrize(
    "answer",
    [
        (404, b"404 page not found\n"),
        (403, {"status": "NOT_AUTHORIZED"}),
        (200, b"<html>"),
        (200, {"status": "ERROR"}),
        (200, []),
    ],
    ids=str,
)
def test_a_wrong_address_a_missing_entitlement_and_an_unusable_answer_are_errors(
    api: ScriptedServer, answer: Answer
) -> None:
    api.script = [answer] * ATTEMPTS
    with pytest.raises(PolygonApiError):
        grouped_daily(client(api, []), DAY)


NOT_NUMBERS: list[Any] = [
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    "N/A",
    "12.5",
    True,
    False,
    {},
    {"x": 1},
    [],
    [1],
    None,
    1e305,
    -1,
    -0.5,
]


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=str)
@pytest.mark.parametrize("field", ["o", "h", "l", "c", "vw", "v", "n", "t"])
def test_rest_and_connector_null_only_the_value_that_is_not_a_number(
    api: ScriptedServer, field: str, value: Any
) -> None:
    odd = {"T": "ODD", "v": 7, "vw": 1.5, "n": 3, **PRICES, field: value}
    good = {"T": "GOOD", "v": 7, "vw": 1.5, "n": 3, **PRICES}
    api.script = [(200, {"status": "OK", "results": [good, odd, good]})]
    records = grouped_daily(client(api, []), DAY)
    assert records == [as_the_connector_would("grouped_daily", bar) for bar in (good, odd, good)]
    name = {
        "o": "open",
        "h": "high",
        "l": "low",
        "c": "close",
        "vw": "vwap",
        "v": "volume",
        "n": "transactions",
        "t": "window_start_ms",
    }
    assert records[1] == records[0] | {"ticker": "ODD", name[field]: None}


@pytest.mark.parametrize("field", ["o", "h", "l", "c", "vw"])
def test_a_price_of_zero_is_null_by_rest_and_connector(api: ScriptedServer, field: str) -> None:
    bar = {"T": "ODD", "v": 7, "vw": 1.5, "n": 3, **PRICES, field: 0}
    api.script = [(200, {"status": "OK", "results": [bar]})]
    [record] = grouped_daily(client(api, []), DAY)
    assert record == as_the_connector_would("grouped_daily", bar)
    assert list(record.values()).count(None) == 1


@pytest.mark.parametrize("value", [2**63, float(2**63), 10**20, 1e30, 2**63 - 1, 0, 7.0])
@pytest.mark.parametrize(("field", "name"), [("t", "window_start_ms"), ("n", "transactions")])
def test_a_whole_number_that_no_column_holds_is_null_and_stops_no_day(
    api: ScriptedServer, field: str, name: str, value: float
) -> None:
    bar = {"T": "ODD", "v": 7, "vw": 1.5, "n": 3, **PRICES, field: value}
    api.script = [(200, {"status": "OK", "results": [bar]})]
    [record] = grouped_daily(client(api, []), DAY)
    assert record == as_the_connector_would("grouped_daily", bar)
    assert record[name] == (value if value < 2**63 else None)
    column = column_type(streams()["grouped_daily"].properties[name])
    assert record[name] is None or column.encode(record[name]) == value


@pytest.mark.parametrize(
    "value", ["N/A", "", "1e3", "-1", "1.", ".5", "nan", 7, 7.5, True, {}], ids=str
)
def test_an_exact_volume_that_is_not_a_decimal_is_null_and_not_guessed(
    api: ScriptedServer, value: Any
) -> None:
    bar = {"T": "ODD", "v": 7, "dv": value, **PRICES}
    api.script = [(200, {"status": "OK", "results": [bar]})]
    assert grouped_daily(client(api, []), DAY) == [as_the_connector_would("grouped_daily", bar)]
    assert as_the_connector_would("grouped_daily", bar)["volume"] is None


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        (0, "0"),
        (7.0, "7"),
        (1e15, "1000000000000000"),
        (0.00005, "0.000050"),
        (25933.6, "25933.6"),
        (0.5, "0.5"),
    ],
)
def test_rest_and_connector_write_volumes_without_an_exponent(
    api: ScriptedServer, volume: float, text: str
) -> None:
    bar = {"T": "A", "v": volume, **PRICES}
    api.script = [(200, {"status": "OK", "results": [bar]})]
    assert [record["volume"] for record in grouped_daily(client(api, []), DAY)] == [text]
    assert as_the_connector_would("grouped_daily", bar)["volume"] == text


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=str)
@pytest.mark.parametrize(
    "field", ["open", "high", "low", "close", "volume", "preMarket", "afterHours"]
)
def test_rest_and_connector_null_only_the_official_price_that_is_not_a_number(
    api: ScriptedServer, field: str, value: Any
) -> None:
    odd = ODD_PRICES | {field: value}
    api.script = [(200, odd)]
    [record] = daily_open_close(client(api, []), DAY, ["BRK.B"])
    assert record == as_the_connector_would("daily_open_close", odd)
    name = {"preMarket": "pre_market", "afterHours": "after_hours"}.get(field, field)
    assert record[name] is None
    assert record["invalid_values"] == (value is not None)


BAR = {"T": "A", "v": 1, **PRICES}


@pytest.mark.parametrize(
    "body",
    [
        {"status": "OK", "resultsCount": 0, "results": None},
        {"status": "OK", "resultsCount": 7},
        {"status": "OK"},
        {"status": "OK", "resultsCount": 2, "results": [BAR]},
        {"status": "OK", "resultsCount": 1, "results": [BAR, BAR]},
        {"status": "OK", "resultsCount": "2", "results": [BAR]},
        {"status": "OK", "resultsCount": "1", "results": [BAR]},
        {"status": "OK", "resultsCount": True, "results": [BAR]},
        {"status": "OK", "resultsCount": False},
        {"status": "OK", "resultsCount": None},
        {"status": "OK", "results": []},
        {"status": "error", "results": [BAR]},
        {"status": "OK", "adjusted": True, "results": [BAR]},
        {"status": "OK", "results": [{**BAR, "T": ""}]},
        {"status": "OK", "results": [{**BAR, "T": "A\n"}]},
        {"status": "OK", "results": [{**BAR, "T": "\ud800"}]},
        {"status": "OK", "results": {"T": "A"}},
        {"status": "OK", "results": [{"v": 1, **PRICES}]},
        {"status": "OK", "results": [{"T": None, "v": 1}]},
        {"status": "OK", "results": [{"T": 7, "v": 1}]},
        {"status": "OK", "results": [7]},
        {"status": "OK", "results": "none"},
    ],
    ids=str,
)
def test_a_day_is_empty_only_if_the_vendor_counts_zero_results(
    api: ScriptedServer, body: Any
) -> None:
    api.script = [(200, body)] * ATTEMPTS
    with pytest.raises(PolygonNoAnswerError):
        grouped_daily(client(api, []), DAY)
    assert api.script == []
    assert is_refused_by_the_connector("grouped_daily", body)
    api.script = [(200, body), (200, {"status": "OK", "resultsCount": 0})]
    assert grouped_daily(client(api, []), DAY) == []


@pytest.mark.parametrize(
    "body",
    [
        {"status": "OK"},
        ODD_PRICES | {"symbol": "OTHER"},
        ODD_PRICES | {"symbol": None},
        ODD_PRICES | {"symbol": "RK.B"},
        ODD_PRICES | {"from": "2026-11-19"},
        ODD_PRICES | {"from": None},
        ODD_PRICES | {"from": 20},
        ODD_PRICES | {"status": "error"},
        [ODD_PRICES],
    ],
    ids=str,
)
def test_official_prices_of_another_ticker_or_day_are_refused(
    api: ScriptedServer, body: Any
) -> None:
    api.script = [(200, body)] * ATTEMPTS
    with pytest.raises(PolygonNoAnswerError):
        daily_open_close(client(api, []), DAY, ["BRK.B"])
    assert is_refused_by_the_connector("daily_open_close", body)


@pytest.mark.parametrize(
    ("stream", "body"),
    [
        ("daily_open_close", ODD_PRICES),
        ("daily_open_close", {"status": "OK", "symbol": "BRK.B"}),
        ("grouped_daily", {"status": "OK", "resultsCount": 0}),
        ("grouped_daily", {"status": "OK", "resultsCount": 0, "results": [], "adjusted": True}),
        ("grouped_daily", {"status": "DELAYED", "resultsCount": 1, "results": [BAR]}),
        ("grouped_daily", {"status": "OK", "adjusted": False, "results": [BAR]}),
    ],
    ids=str,
)
def test_rest_and_connector_accept_what_the_vendor_sends(
    api: ScriptedServer, stream: str, body: Any
) -> None:
    api.script = [(200, body)]
    rest = client(api, [])
    daily_open_close(rest, DAY, ["BRK.B"]) if stream == "daily_open_close" else grouped_daily(
        rest, DAY
    )
    assert not is_refused_by_the_connector(stream, body)


@pytest.mark.parametrize(
    ("body", "is_refused"),
    [
        *[(body, True) for body in NO_LISTS],
        ({"status": "OK", "results": []}, False),
        ({"status": "OK", "count": 0, "results": []}, False),
        ({"status": "OK", "results": [{"ticker": "AAPL"}]}, False),
        ({"status": "OK", "count": 1, "results": [{"ticker": "AAPL"}], "next_url": None}, False),
    ],
    ids=str,
)
def test_the_connector_refuses_the_lists_that_the_rest_client_refuses(
    body: Any, is_refused: bool
) -> None:
    assert is_refused_by_the_connector("tickers", body) is is_refused
