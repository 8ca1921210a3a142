"""The connector and unusable answers: retried, then an error of their stream; the others go on."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from polygon_assets_tests.parameters import first_few
from polygon_assets_tests.processes import vendor_by_path
from polygon_assets_tests.processes.source_polygon_harness import Connector, Output
from polygon_assets_tests.processes.vendor_by_path import Vendor

EXCHANGES, TYPES = "/v3/reference/exchanges", "/v3/reference/tickers/types"
TICKERS, SPLITS = "/v3/reference/tickers", "/stocks/v1/splits"
GROUPED, PRICES = "/v2/aggs/grouped", "/v1/open-close"
DAY = "2026-11-20"
RETRIES = 1
BAR = {
    "T": "GOOD",
    "o": 1,
    "h": 2,
    "l": 1,
    "c": 2,
    "v": 7,
    "vw": 1.5,
    "n": 3,
    "t": 1_795_208_400_000,
}
GOOD: dict[str, Any] = {
    EXCHANGES: {"status": "OK", "results": [{"id": 1, "name": "NYSE"}]},
    TYPES: {"status": "OK", "results": [{"code": "CS"}]},
    TICKERS: {
        "status": "OK",
        "results": [{"ticker": "AAPL", "last_updated_utc": "2026-11-20T00:00:00Z"}],
    },
    SPLITS: {
        "status": "OK",
        "results": [{"id": "s1", "ticker": "AAPL", "split_from": 1, "split_to": 2}],
    },
    GROUPED: {"status": "OK", "resultsCount": 1, "results": [BAR]},
    PRICES: {"status": "OK", "symbol": "AAPL", "open": 1, "close": 2, "volume": 7},
}
STREAM_OF = {
    EXCHANGES: "exchanges",
    TYPES: "ticker_types",
    TICKERS: "tickers",
    SPLITS: "stock_split",
    GROUPED: "grouped_daily",
    PRICES: "daily_open_close",
}


@contextmanager
def vendor(answers: dict[str, list[Any]]) -> Iterator[Vendor]:
    """A vendor with `answers` for their paths and good answers for all others."""
    with vendor_by_path.serving({path: [body] for path, body in GOOD.items()} | answers) as server:
        yield server


def read(folder: Path, server: Vendor, *streams: str, is_provisioned: bool = True) -> Output:
    config = {
        "api_key": "key",
        "base_url": server.url,
        "requests_per_minute": 0,
        "start_date": DAY,
        "end_date": DAY,
    }
    config |= {"open_close_tickers": ["AAPL"]}
    connector = Connector(folder, config, RETRIES, is_provisioned)
    return connector.run("read", streams or tuple(STREAM_OF.values()))


NO_LISTS: list[dict[str, Any]] = [
    {
        EXCHANGES: {"status": "OK", "count": 0, "results": None},
        TYPES: {"status": "OK"},
        SPLITS: {"status": "OK", "results": {"id": 1}},
    }
    | {GROUPED: {"status": "OK", "resultsCount": 0, "results": None}, PRICES: {"status": "OK"}},
    {
        EXCHANGES: {"status": "OK", "results": "none"},
        TYPES: {"status": "OK", "results": ["CS"]},
        SPLITS: [{"id": 1}],
    }
    | {
        GROUPED: {"status": "OK", "resultsCount": 2, "results": [BAR]},
        PRICES: {"status": "OK", "symbol": None},
    },
    {
        EXCHANGES: {"status": "OK", "count": 2, "results": [{"id": 1}]},
        TYPES: {"status": "error", "results": [{"code": "CS"}]},
        SPLITS: {"status": "OK", "count": 5, "results": []},
    }
    | {
        GROUPED: {"status": "OK", "resultsCount": False},
        PRICES: {"status": "OK", "symbol": "AAPL", "from": "2026-11-19"},
    },
    {
        EXCHANGES: {"status": "OK", "results": [{"name": "without an id"}]},
        TYPES: b'{"results":[',
        SPLITS: {"status": "ERROR"},
    }
    | {GROUPED: {"status": "OK", "results": [{**BAR, "T": None}]}, PRICES: []},
]


@pytest.mark.parametrize(
    "bodies",
    first_few(1, NO_LISTS),
    ids=["null or missing", "other types", "miscounted", "without a key, cut or an error"],
)
def test_an_unusable_answer_is_retried_then_fails_only_its_own_stream(
    tmp_path: Path, bodies: dict[str, Any]
) -> None:
    with vendor({path: [body] for path, body in bodies.items()}) as server:
        output = read(tmp_path, server)
    assert output.code == 1
    assert output.records.keys() == {"tickers"}
    for path in bodies:
        assert server.request_count(path) == 1 + RETRIES
        assert any(
            path in error and "returned no usable answer" in error for error in output.errors
        ), output.errors


def test_a_good_answer_to_a_retry_is_used(tmp_path: Path) -> None:
    null = {"status": "OK", "count": 0, "results": None}
    second = {
        "status": "OK",
        "results": [{"ticker": "MSFT", "last_updated_utc": "2026-11-19T00:00:00Z"}],
    }
    first = {**GOOD[TICKERS], "next_url": f"https://stranger.invalid{TICKERS}?cursor=2"}
    answers = {path: [null, GOOD[path]] for path in (EXCHANGES, TYPES, SPLITS, GROUPED)} | {
        TICKERS: [first, null, second]
    }
    with vendor(answers) as server:
        output = read(tmp_path, server)
    assert (output.code, output.errors) == (0, [])
    assert {name: len(records) for name, records in output.records.items()} == dict.fromkeys(
        STREAM_OF.values(), 1
    ) | {"tickers": len(output.records["tickers"])}
    assert {record["ticker"] for record in output.records["tickers"]} == {"AAPL", "MSFT"}


def split_pages(cursors: Iterable[int]) -> list[dict[str, Any]]:
    """Pages of splits, each leading to the page with the next cursor."""
    url = f"https://api.massive.com{SPLITS}?cursor="
    return [{**GOOD[SPLITS], "next_url": f"{url}{cursor}"} for cursor in cursors]


@pytest.mark.parametrize("cycle", [1, 2, 3])
def test_a_page_that_repeats_ends_the_stream_and_is_named(tmp_path: Path, cycle: int) -> None:
    with vendor({SPLITS: split_pages(n % cycle for n in range(20))}) as server:
        output = read(tmp_path, server, "stock_split", "exchanges")
    assert output.code == 1
    assert server.request_count(SPLITS) == cycle + 1
    assert any(
        "a page that was read before" in error and "stocks/v1/splits?cursor=0" in error
        for error in output.errors
    ), output.errors
    assert "exchanges" in output.states


@pytest.mark.long
def test_a_list_without_end_is_read_up_to_its_thousandth_page(tmp_path: Path) -> None:
    with vendor({SPLITS: split_pages(range(1100))}) as server:
        output = read(tmp_path, server, "stock_split", "exchanges")
    assert output.code == 1
    assert server.request_count(SPLITS) == 1001
    assert any(
        "past page 1000: stocks/v1/splits?cursor=1000'" in error for error in output.errors
    ), output.errors
    assert "exchanges" in output.states


@pytest.mark.parametrize(
    "next_url", first_few(3, [{"url": "x"}, "no address", "", 7, "http://host", [], False])
)
def test_an_unusable_next_url_fails_instead_of_ending_the_list(
    tmp_path: Path, next_url: Any
) -> None:
    with vendor({SPLITS: [{**GOOD[SPLITS], "next_url": next_url}]}) as server:
        output = read(tmp_path, server, "stock_split")
    assert output.code == 1
    assert server.request_count(SPLITS) == 1 + RETRIES


def test_the_key_is_sent_to_the_configured_host_only(tmp_path: Path) -> None:
    with vendor({}) as stranger:
        first = {**GOOD[SPLITS], "next_url": f"{stranger.url}{SPLITS}?cursor=2"}
        with vendor({SPLITS: [first, GOOD[SPLITS]]}) as server:
            output = read(tmp_path, server, "stock_split")
        assert (output.code, len(output.records["stock_split"])) == (0, 2)
        assert stranger.requests == []
        assert {key for _, key in server.requests} == {"Bearer key"}


@pytest.mark.parametrize("answer", [GOOD[EXCHANGES], (401, ""), (404, "")])
def test_a_redirect_to_another_host_is_an_error_with_its_own_cure_whatever_it_answers(
    tmp_path: Path, answer: Any
) -> None:
    with vendor({EXCHANGES: [answer]}) as stranger:
        elsewhere = stranger.url.replace("127.0.0.1", "localhost")
        with vendor({EXCHANGES: [(302, f"{elsewhere}{EXCHANGES}")]}) as server:
            output = read(tmp_path, server, "exchanges")
        assert (output.code, output.records) == (1, {})
        assert_names_the_redirect(output, elsewhere)
        assert {key for _, key in stranger.requests} == {""}


def test_a_redirect_to_another_path_of_the_same_host_is_an_error_too(tmp_path: Path) -> None:
    elsewhere = "/v4/other"
    answers: dict[str, list[Any]] = {elsewhere: [GOOD[EXCHANGES]]}
    with vendor(answers) as server:
        server.answers[EXCHANGES] = [(302, f"{server.url}{elsewhere}")]
        output = read(tmp_path, server, "exchanges")
        assert (output.code, output.records) == (1, {})
        assert_names_the_redirect(output, f"{server.url}{elsewhere}")


@pytest.mark.parametrize("status", first_few(1, [206, 300]))
def test_only_an_answer_with_status_200_is_used(tmp_path: Path, status: int) -> None:
    answers = {path: [(status, "", GOOD[path])] for path in GOOD}
    with vendor(answers) as server:
        output = read(tmp_path, server)
        assert (output.code, output.records) == (1, {})
        assert server.request_count(EXCHANGES) == 1
    assert any("neither HTTP 200 nor an error" in error for error in output.errors), output.errors


def test_a_ticker_that_another_host_does_not_know_proves_nothing(tmp_path: Path) -> None:
    with vendor({PRICES: [(404, "", {"status": "NOT_FOUND"})]}) as stranger:
        elsewhere = stranger.url.replace("127.0.0.1", "localhost")
        with vendor({PRICES: [(302, f"{elsewhere}{PRICES}/AAPL/{DAY}")]}) as server:
            output = read(tmp_path, server, "daily_open_close")
    assert output.code == 1
    assert_names_the_redirect(output, elsewhere)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(404, {"status": "NOT_FOUND"}, 0), (404, b"<html>NOT_FOUND</html>", 1), (404, [], 1)],
)
def test_only_the_vendors_own_words_prove_a_ticker_without_prices(
    tmp_path: Path, status: int, body: Any, code: int
) -> None:
    with vendor({PRICES: [(status, "", body)]}) as server:
        output = read(tmp_path, server, "daily_open_close")
    assert (output.code, output.records) == (code, {})


def test_a_manifest_that_was_not_provisioned_compares_the_path_and_keeps_the_key_at_home(
    tmp_path: Path,
) -> None:
    with vendor({"/login": [GOOD[EXCHANGES]]}) as stranger:
        elsewhere = stranger.url.replace("127.0.0.1", "localhost")
        with vendor({EXCHANGES: [(302, f"{elsewhere}/login")]}) as server:
            output = read(tmp_path, server, "exchanges", is_provisioned=False)
        assert output.code == 1
        assert_names_the_redirect(output, f"{elsewhere}/login")
        assert {key for _, key in stranger.requests} == {""}


def assert_names_the_redirect(output: Output, address: str) -> None:
    assert any(
        f"redirected to {address}" in error and "`polygon-assets airbyte apply`" in error
        for error in output.errors
    ), output.errors
    assert not any("Copy the key" in error for error in output.errors)


def test_a_value_that_is_not_a_number_is_null_and_costs_no_other_value(tmp_path: Path) -> None:
    values: tuple[Any, ...] = (None, True, "1.5", "", {}, "N/A")
    odd = [{**BAR, "T": f"ODD{n}", "vw": value} for n, value in enumerate(values)]
    text = json.dumps(
        {
            "status": "OK",
            "results": [
                BAR,
                *odd,
                {**BAR, "T": "LAST", "vw": float("nan"), "v": float("nan"), "t": float("inf")},
            ],
        }
    )
    with vendor(
        {
            GROUPED: [text.encode()],
            PRICES: [json.dumps({**GOOD[PRICES], "open": float("nan")}).encode()],
        }
    ) as server:
        output = read(tmp_path, server, "grouped_daily", "daily_open_close")
    assert (output.code, output.errors) == (0, [])
    good, *others = output.records["grouped_daily"]
    assert good["vwap"] == 1.5
    assert [record.get("vwap") for record in others] == [None] * 7
    assert [record["close"] for record in others] == [2] * 7
    assert "nan" not in json.dumps(output.records).lower()
    assert (others[-1].get("volume"), others[-1].get("window_start_ms")) == (None, None)
    assert output.records["daily_open_close"][0].get("open") is None
