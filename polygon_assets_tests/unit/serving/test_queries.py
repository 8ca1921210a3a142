"""The named queries: each runs on bound parameters and begins with a comment on its purpose."""

import datetime as dt
import re

import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.serving.queries import UnknownQueryError, load, names

_PARAMETER = re.compile(r"\{(\w+):(Array\(\w+\)|\w+)")


def test_an_unknown_name_lists_the_existing_queries() -> None:
    with pytest.raises(UnknownQueryError, match=r"no query is called 'nope'.*last_prices"):
        load("nope")


@pytest.mark.parametrize("name", names())
def test_every_query_has_a_comment_and_runs_on_bound_parameters(client: Client, name: str) -> None:
    text = load(name)
    assert text.startswith("-- ")
    now = dt.datetime.now(dt.UTC)
    values = {
        "DateTime64": now,
        "Date": now.date(),
        "UInt32": 10,
        "Bool": True,
        "String": "AAPL",
        "Array(String)": ["AAPL"],
        "Array(Int64)": [1],
        "Array(Date)": [now.date()],
    }
    client.command(
        text, parameters={parameter: values[kind] for parameter, kind in _PARAMETER.findall(text)}
    )


def test_table_status_of_empty_tables_has_no_newest_time(client: Client) -> None:
    rows = {
        row["table"]: (row["rows"], row["newest"])
        for row in client.query(load("table_status")).named_results()
    }
    assert set(rows) == {
        "market.stock_aggregates",
        "market.stock_versions",
        "market.stock_recent",
        "market.stock_newest",
        "market.ohlcv_1m_by_day",
        "market.dead_letters",
    }
    assert set(rows.values()) == {(0, None)}
