"""The marts' SQL against their declarations: selected columns, their sources, the build order.

Builds over the real protocol belong to processes/test_marts.py and test_mart_splits.py.
"""

import re

import pytest
from sqlglot import exp, parse_one

from polygon_assets.batch.airbyte.connector import streams
from polygon_assets.batch.marts import MARTS, Mart, column_lineage, upstreams
from polygon_assets.batch.raw import table_writer

MADE_BY_SQL = [mart for mart in MARTS.values() if mart.sql]
COLUMNS = {
    f"RAW.{name.upper()}": set(table_writer.columns(stream)) for name, stream in streams().items()
} | {mart.table: {name for name, _, _ in mart.columns} for mart in MARTS.values()}
each_mart = pytest.mark.parametrize("mart", MADE_BY_SQL, ids=lambda mart: mart.name)


def test_only_the_comparison_with_the_stream_is_not_made_by_sql() -> None:
    assert [mart.name for mart in MARTS.values() if not mart.sql] == ["stream_vs_batch"]


@each_mart
def test_the_query_selects_the_declared_columns_in_their_order(mart: Mart) -> None:
    assert mart.sql
    query = parse_one(
        mart.sql.replace("%(day)s", "NULL").replace("%(decisions)s", "'[]'"), dialect="snowflake"
    )
    assert isinstance(query, exp.Query)
    assert [name.upper() for name in query.named_selects] == [name for name, _, _ in mart.columns]


@each_mart
def test_every_column_is_made_of_columns_that_exist(mart: Mart) -> None:
    lineage = column_lineage(mart)
    assert list(lineage) == [name for name, _, _ in mart.columns]
    for column, sources in lineage.items():
        assert sources, f"{mart.name}.{column} has no source column"
        assert all(source in COLUMNS[table] for table, source in sources), (column, sources)


@each_mart
def test_each_mart_is_built_after_its_sources(mart: Mart) -> None:
    before = list(MARTS)[: list(MARTS).index(mart.name)]
    assert {table.lower() for schema, table in upstreams(mart) if schema == "MARTS"} <= set(before)
    assert {table.lower() for schema, table in upstreams(mart) if schema == "RAW"} <= set(streams())


@each_mart
def test_marts_built_by_day_take_the_day_and_the_splits_take_the_decisions(
    mart: Mart,
) -> None:
    assert mart.sql
    expected = (
        {"%(day)s"}
        if mart.by_day
        else {"%(decisions)s"}
        if mart.name == "dim_stock_split"
        else set()
    )
    assert set(re.findall(r"%.[^)]{0,12}.{0,2}", mart.sql)) == expected


def test_lineage_follows_a_price_through_the_adjustment_to_the_splits() -> None:
    assert column_lineage(MARTS["daily_prices_adjusted"])["CLOSE"] == [
        ("MARTS.DIM_STOCK_SPLIT", "SPLIT_FROM"),
        ("MARTS.DIM_STOCK_SPLIT", "SPLIT_TO"),
        ("MARTS.FACT_DAILY_TRADING", "CLOSE"),
    ]


def test_keys_references_and_required_columns_are_columns() -> None:
    for mart in MARTS.values():
        named = {*mart.primary_key, *mart.required, *mart.references}
        assert named <= COLUMNS[mart.table]
        assert all(
            column in COLUMNS[MARTS[other].table] for other, column in mart.references.values()
        )


def test_every_column_has_a_description() -> None:
    for mart in MARTS.values():
        assert all(meaning for _, _, meaning in mart.columns)
