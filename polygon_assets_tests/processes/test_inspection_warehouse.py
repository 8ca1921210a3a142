"""Snowflake as the inspection reads it: tables, rows, newest load, loaded days, a clear error."""

import datetime as dt

import pytest

from polygon_assets.clients import snowflake
from polygon_assets.inspection import WarehouseUnreachableError, warehouse
from polygon_assets.inspection.tables import TableFacts
from polygon_assets.settings import Settings

SERVERS = ("snowflake",)
TABLES = """
    CREATE OR REPLACE TABLE MARTS.FACT_DAILY_TRADING AS
        SELECT column1::DATE AS trading_day
        FROM VALUES ('2026-11-20'), ('2026-11-19'), ('2026-11-20');
    CREATE OR REPLACE TABLE MARTS.DIM_EXCHANGE (mic VARCHAR);
    CREATE OR REPLACE TABLE RAW.TICKERS AS
        SELECT '2026-11-20 10:00:00+00:00'::TIMESTAMP_TZ AS _airbyte_extracted_at
"""


def test_each_table_has_its_row_count_and_its_newest_time(settings: Settings) -> None:
    assert warehouse.fact_days(settings) == {}
    with snowflake.connect(settings) as connection, connection.cursor() as cursor:
        for statement in TABLES.split(";"):
            cursor.execute(statement)
    assert warehouse.tables(settings) == {
        "MARTS.DIM_EXCHANGE": TableFacts(0, None),
        "MARTS.FACT_DAILY_TRADING": TableFacts(3, dt.datetime(2026, 11, 20, tzinfo=dt.UTC)),
        "RAW.TICKERS": TableFacts(1, dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)),
    }
    assert warehouse.fact_days(settings) == {dt.date(2026, 11, 19): 1, dt.date(2026, 11, 20): 2}


def test_without_an_account_the_missing_variable_is_named() -> None:
    with pytest.raises(WarehouseUnreachableError, match="SNOWFLAKE_ACCOUNT"):
        warehouse.tables(Settings(snowflake_account="", snowflake_host=""))
