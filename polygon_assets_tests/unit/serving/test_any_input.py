"""Any text in the queries' bound parameters, and any number of a topic's message in the tables."""

import datetime as dt
import re
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from polygon_assets.events.validation import to_row
from polygon_assets.messages import (
    LARGEST_INT64,
    LATEST_MS,
    Gap,
    Heartbeat,
    decode_filtered,
    decode_gap,
    decode_heartbeat,
    encode,
)
from polygon_assets.serving import gap_ledger, heartbeat_history
from polygon_assets.serving.dead_letters import REPLAYS_TABLE, Selection, letters
from polygon_assets.serving.queries import load, names
from polygon_assets.streaming.rows import to_table
from polygon_assets_tests.unit.streaming.samples import START_MS, raw_aggregate

TEXTS = (
    "it's",
    'say "x"',
    "back\\slash",
    "\\n",
    "\\'; DROP TABLE market.stock_aggregates; --",
    "line\nbreak\r\n",
    "tab\tstop",
    "nul\0byte",
    "\\N",
    "%s {symbol:String} $1",
    "é 株 🚀 \u2028",
    "[']",
    " blank ",
)
NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
VALUES: dict[str, Any] = {
    "DateTime64": NOW,
    "Date": NOW.date(),
    "UInt32": 100,
    "Bool": True,
    "Array(Int64)": [int(NOW.timestamp() * 1000)],
    "Array(Date)": [NOW.date()],
}
_PARAMETER = re.compile(r"\{(\w+):(Array\(\w+\)|\w+)")


def text_parameters(name: str) -> dict[str, str]:
    """The parameters of a query that take a text or several."""
    return {
        parameter: kind for parameter, kind in _PARAMETER.findall(load(name)) if "String" in kind
    }


WITH_TEXT = [name for name in names() if text_parameters(name)]


@pytest.mark.parametrize("name", WITH_TEXT)
def test_a_query_takes_every_text_in_each_of_its_parameters(client: Client, name: str) -> None:
    parameters = _PARAMETER.findall(load(name))
    for text in TEXTS:
        values = {**VALUES, "String": text, "Array(String)": [text, "AAPL"]}
        client.query(
            load(name), parameters={parameter: values[kind] for parameter, kind in parameters}
        )
        arrays = {**VALUES, "String": "AAPL", "Array(String)": list(TEXTS)}
        client.query(
            load(name), parameters={parameter: arrays[kind] for parameter, kind in parameters}
        )


@given(name=st.sampled_from(WITH_TEXT), text=st.text(max_size=60))
@example_settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_query_takes_any_text(client: Client, name: str, text: str) -> None:
    values = {**VALUES, "String": text, "Array(String)": [text, "AAPL", text]}
    parameters = {parameter: values[kind] for parameter, kind in _PARAMETER.findall(load(name))}
    client.query(load(name), parameters=parameters)


@given(text=st.text(max_size=60))
@example_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_comes_back_as_it_went(client: Client, text: str) -> None:
    """A parameter that lost or added a sign would select another row, or none."""
    query = "SELECT {text:String}, {texts:Array(String)}"
    [row] = client.query(query, parameters={"text": text, "texts": [text, ""]}).result_rows
    assert row == (text, [text, ""])


def store(client: Client) -> None:
    """One second, two dead letters and one replay for each of TEXTS."""
    rows = [
        (text, NOW, NOW + dt.timedelta(seconds=1), 1.0, 1.0, 1.0, 1.0, 1, NOW, "rest")
        for text in TEXTS
    ]
    columns = (
        "symbol", "start_timestamp", "end_timestamp", "open", "high", "low", "close", "volume",
        "received_at", "source",
    )  # fmt: skip
    client.insert("market.stock_aggregates", rows, column_names=columns)
    replays = [(text, NOW, "test", "", 0, "failed", "") for text in TEXTS]
    client.insert(
        REPLAYS_TABLE,
        replays,
        column_names=(
            "letter_id", "replayed_at", "replayed_by", "topic", "messages", "outcome", "error",
        ),
    )  # fmt: skip


SYMBOL_QUERIES = {
    "seconds_of_symbols": {"since": NOW, "until": NOW + dt.timedelta(hours=1)},
    "stored_versions": {"starts": VALUES["Array(Int64)"]},
    "minutes_of_symbols": {"day": NOW.date()},
    "last_prices": {},
    "delta_10s": {"from": NOW, "to": NOW + dt.timedelta(hours=1)},
    "dead_letter_replays": {},
}


def test_each_text_selects_its_own_row_and_no_other(client: Client) -> None:
    store(client)
    for name, others in SYMBOL_QUERIES.items():
        [(parameter, kind)] = text_parameters(name).items()
        for text in TEXTS:
            value = text if kind == "String" else [text]
            rows = client.query(load(name), parameters={parameter: value, **others}).result_rows
            assert [row[0] for row in rows] == [text], (name, text)


def test_second_status_of_a_symbol_with_any_text_is_its_own(client: Client) -> None:
    store(client)
    for text in TEXTS:
        rows = client.query(
            load("coverage"),
            parameters={"symbol": text, "from": NOW, "to": NOW + dt.timedelta(seconds=1)},
        ).result_rows
        assert [row[0] for row in rows] == ["traded"], text


def test_a_part_of_a_reason_finds_its_letters_whatever_its_signs(client: Client) -> None:
    client.insert(
        "market.dead_letters",
        [(f"id {n}", "sink", "insert", f"a{n} {text} b", NOW) for n, text in enumerate(TEXTS)],
        column_names=("letter_id", "program", "stage", "reason", "refused_at"),
    )
    for number, text in enumerate(TEXTS):
        found = letters(client, Selection(reason=f"A{number} {text}"), 100)
        assert [letter.letter_id for letter in found] == [f"id {number}"], text


def test_a_heartbeat_of_a_strange_instance_is_stored_as_it_is(client: Client) -> None:
    at = int(NOW.timestamp() * 1000)
    beats = [Heartbeat("sink", text, "streaming", at, at, detail=text) for text in TEXTS]
    heartbeat_history.store(client, beats)
    rows = client.query(
        load("heartbeats_between"), parameters={"program": "sink", "since": NOW, "until": NOW}
    ).named_results()
    assert {(row["instance"], row["detail"]) for row in rows} == {(text, text) for text in TEXTS}


@pytest.mark.parametrize("at", [631_152_000_000, START_MS, LATEST_MS - 1])
def test_the_table_takes_each_row_that_can_be_decoded(client: Client, at: int) -> None:
    """A row that it refused for a reason unknown to the sink would be tried again for ever."""
    row = to_row(raw_aggregate(decimal_volume="9" * 12 + ".999999"))
    row.start_timestamp = row.end_timestamp = at
    row.received_at = 1000 * at
    row.open, row.low, row.average_size = 1.7e308, -1.7e308, 5e-324
    row.symbol = TEXTS[7]
    value = encode(row)
    assert decode_filtered(value) == row
    client.insert_arrow("market.stock_aggregates", to_table([value]))


@pytest.mark.parametrize("at", [1, LATEST_MS])
def test_the_history_takes_each_heartbeat_that_can_be_decoded(client: Client, at: int) -> None:
    beat = Heartbeat(
        "producer",
        TEXTS[7],
        "streaming",
        started_at=at,
        sent_at=at,
        epoch=at,
        newest_event=at,
        newest_received_at=at,
        complete_until=at,
        rate=1.7e308,
        lag=LARGEST_INT64,
        counters={TEXTS[7]: LARGEST_INT64, "": 0},
        restarts=2**32 - 1,
        arrival_delay_ms=-LARGEST_INT64,
        desired=2**32 - 1,
        confirmed=2**32 - 1,
    )
    heartbeat_history.store(client, [decode_heartbeat(encode(beat))])


@pytest.mark.parametrize("at", [-(10**30), 0, 10**30])
def test_the_ledger_takes_each_gap_that_can_be_decoded(client: Client, at: int) -> None:
    gap = Gap("g", "drop", at, at, at, LARGEST_INT64, list(TEXTS))
    gap_ledger.store_new_or_longer(client, [gap_ledger.reported(decode_gap(encode(gap)))], NOW)
    [entry] = gap_ledger.read(client)
    assert (entry.events_dropped, entry.channels) == (LARGEST_INT64, TEXTS)
