"""The embedded Snowflake's results: types, values and names as in Snowflake's documentation."""

import datetime as dt
import decimal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from snowflake.connector import SnowflakeConnection

from polygon_assets.clients import snowflake
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.test_snowflake_server import ask

SERVERS = ("snowflake",)
Decimal = decimal.Decimal
FIXED, REAL, TEXT, DATE, TIMESTAMP_NTZ = 0, 1, 2, 3, 8
"""The connector's type codes."""
LARGE = 9_007_199_254_740_993
"""The first integer that a float cannot represent."""
SUMMED = f"""
    CREATE OR REPLACE TABLE RAW.SUMMED AS
    SELECT column1::NUMBER(38,0) AS id, column2::NUMBER(18,6) AS v, column3::FLOAT AS p,
        column4::VARCHAR AS s, column5::DATE AS d
    FROM VALUES (1, 0.1, 1.5, '10', '2026-11-20'),
        (2, 99999999999.123456, 2.5, '20', '2026-11-20'),
        ({LARGE}, 0.2, 2.5, '30', '2026-12-31')
"""


@pytest.fixture(scope="module")
def session(settings: Settings) -> Iterator[SnowflakeConnection]:
    with snowflake.connect(settings, 30) as session:
        ask(session, SUMMED)
        yield session


def described(session: SnowflakeConnection, sql: str) -> tuple[Any, int, int | None]:
    """The first value, its type and its scale."""
    with session.cursor() as cursor:
        cursor.execute(sql)
        [row, *_] = cursor.fetchall()
        first = cursor.description[0]
    assert isinstance(row, tuple)
    return row[0], first.type_code, first.scale


@pytest.mark.parametrize(
    ("sql", "value", "kind", "scale"),
    [
        ("SELECT SUM(v) FROM RAW.SUMMED", Decimal("99999999999.423456"), FIXED, 6),
        ("SELECT SUM(id) FROM RAW.SUMMED", LARGE + 3, FIXED, 0),
        ("SELECT SUM(DISTINCT v) FROM RAW.SUMMED", Decimal("99999999999.423456"), FIXED, 6),
        ("SELECT SUM(v) OVER () FROM RAW.SUMMED", Decimal("99999999999.423456"), FIXED, 6),
        (
            "SELECT SUM(v) OVER (ORDER BY id) FROM RAW.SUMMED ORDER BY id DESC",
            Decimal("99999999999.423456"),
            FIXED,
            6,
        ),
        ("SELECT SUM(v * 2) AS x FROM RAW.SUMMED", Decimal("199999999998.846912"), FIXED, 6),
        (
            "SELECT SUM(v) + SUM(id) AS x FROM RAW.SUMMED WHERE id < 3",
            Decimal("100000000002.223456"),
            FIXED,
            6,
        ),
        (
            "SELECT SUM(x) FROM (SELECT SUM(v) AS x FROM RAW.SUMMED GROUP BY s)",
            Decimal("99999999999.423456"),
            FIXED,
            6,
        ),
        (
            "WITH t AS (SELECT v FROM RAW.SUMMED) SELECT SUM(t.v) FROM t",
            Decimal("99999999999.423456"),
            FIXED,
            6,
        ),
        ("SELECT SUM(IFF(id > 1, v, 0)) FROM RAW.SUMMED", Decimal("99999999999.323456"), FIXED, 6),
        ("SELECT SUM(p) FROM RAW.SUMMED", 6.5, REAL, None),
        ("SELECT SUM(s) FROM RAW.SUMMED", 60.0, REAL, None),
        ("SELECT SUM(PARSE_JSON('{\"a\": 1.5}'):a)", 1.5, REAL, None),
        ("SELECT SUM(v) FROM RAW.SUMMED WHERE id < 0", None, FIXED, 6),
        ("SELECT AVG(DISTINCT p) FROM RAW.SUMMED", 2.0, REAL, None),
        ("SELECT COUNT_IF(id > 1) FROM RAW.SUMMED", 2, FIXED, 0),
    ],
)
def test_a_sum_of_numbers_is_exact(
    session: SnowflakeConnection, sql: str, value: Any, kind: int, scale: int | None
) -> None:
    result = described(session, sql)
    assert result == (value, kind, scale)
    assert type(result[0]) is type(value)


@given(st.lists(st.decimals(-(10**11), 10**11, places=6), min_size=1, max_size=30))
@hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_sum_equals_the_sum_of_decimals(
    session: SnowflakeConnection, numbers: list[Decimal]
) -> None:
    values = ", ".join(f"({number}::NUMBER(18,6))" for number in numbers)
    [(total,)] = ask(session, f"SELECT SUM(column1) FROM VALUES {values}")
    assert total == sum(numbers, Decimal(0))


def test_a_sum_stays_exact_in_views_and_tables_made_of_it(session: SnowflakeConnection) -> None:
    ask(
        session,
        "CREATE OR REPLACE VIEW RAW.SUMS AS SELECT SUM(v) AS v, SUM(id) AS id FROM RAW.SUMMED",
    )
    ask(
        session,
        "CREATE OR REPLACE TABLE RAW.SUMS_KEPT AS "
        "SELECT SUM(v) AS v, SUM(id) AS id FROM RAW.SUMMED",
    )
    expected = [(Decimal("99999999999.423456"), LARGE + 3)]
    assert (
        ask(session, "SELECT v, id FROM RAW.SUMS")
        == ask(session, "SELECT v, id FROM RAW.SUMS_KEPT")
        == expected
    )
    kinds = {row[0]: row[1] for row in ask(session, "DESCRIBE TABLE RAW.SUMS_KEPT")}
    assert kinds == {"V": "NUMBER(38,6)", "ID": "NUMBER(38,0)"}


@pytest.mark.parametrize(
    ("show", "names"),
    [
        ("SCHEMAS LIKE 'MA%' IN DATABASE POLYGON", {"MARTS"}),
        ("SCHEMAS LIKE 'ma%'", {"MARTS"}),
        ("SCHEMAS LIKE 'M_RTS'", {"MARTS"}),
        ("SCHEMAS LIKE 'nothing' IN DATABASE POLYGON", set()),
        ("TERSE SCHEMAS LIKE 'RAW' IN DATABASE POLYGON", {"RAW"}),
        ("SCHEMAS IN DATABASE POLYGON STARTS WITH 'RA'", {"RAW"}),
        ("SCHEMAS IN DATABASE POLYGON STARTS WITH 'ra'", set()),
        ("TABLES LIKE 'SHOWN%' IN SCHEMA POLYGON.RAW", {"SHOWN_A", "SHOWN_B"}),
        ("TABLES LIKE 'SHOWN%' IN SCHEMA MARTS", set()),
        ("TABLES IN SCHEMA RAW STARTS WITH 'SHOWN_B'", {"SHOWN_B"}),
        ("TABLES LIKE 'SHOWN%' IN SCHEMA RAW LIMIT 1", {"SHOWN_A"}),
        ("TABLES LIKE 'SHOWN%' IN SCHEMA RAW LIMIT 5 FROM 'SHOWN_A'", {"SHOWN_B"}),
        ("TABLES LIKE 'SHOWN\\\\_A' IN SCHEMA RAW", {"SHOWN_A"}),
        ("VIEWS LIKE 'SEEN%' IN DATABASE POLYGON", {"SEEN"}),
        ("VIEWS LIKE 'SHOWN%' IN DATABASE POLYGON", set()),
        ("OBJECTS LIKE 'S_EN' IN SCHEMA RAW", {"SEEN"}),
        ("DATABASES LIKE 'poly%'", {"POLYGON"}),
        ("DATABASES LIKE 'other%'", set()),
        ("DATABASES STARTS WITH 'POL'", {"POLYGON"}),
    ],
)
def test_show_applies_its_filter(session: SnowflakeConnection, show: str, names: set[str]) -> None:
    for name in ("SHOWN_A", "SHOWN_B"):
        ask(session, f"CREATE TABLE IF NOT EXISTS RAW.{name} (size NUMBER, first NUMBER)")
    ask(session, "CREATE OR REPLACE VIEW RAW.SEEN AS SELECT 1 AS a")
    assert {row[1] for row in ask(session, f"SHOW {show}")} == names


def test_show_columns_applies_its_filter(session: SnowflakeConnection) -> None:
    ask(session, "CREATE OR REPLACE TABLE RAW.WIDE (size NUMBER, sort NUMBER, first NUMBER)")
    assert {row[2] for row in ask(session, "SHOW COLUMNS LIKE 's%' IN TABLE RAW.WIDE")} == {
        "SIZE",
        "SORT",
    }


@pytest.mark.parametrize(
    "name", ["POLYGON.RAW.PASSING", "RAW.PASSING", "PASSING", '"POLYGON"."RAW"."PASSING"']
)
@pytest.mark.parametrize(
    "verb",
    [
        "CREATE OR REPLACE TEMPORARY TABLE",
        "CREATE OR REPLACE TEMP TABLE",
        "CREATE TEMPORARY TABLE IF NOT EXISTS",
    ],
)
def test_a_temporary_table_can_be_used_by_each_form_of_its_name(
    session: SnowflakeConnection, verb: str, name: str
) -> None:
    ask(session, "USE SCHEMA POLYGON.RAW")
    ask(session, f"{verb} {name} (a NUMBER, b VARCHAR)")
    ask(session, f"INSERT INTO {name} VALUES (1, 'x'), (2, 'y')")
    ask(session, f"UPDATE {name} SET b = 'z' WHERE a = 1")
    ask(session, f"DELETE FROM {name} WHERE a = 2")
    for reference in ("POLYGON.RAW.PASSING", "RAW.PASSING", "PASSING"):
        assert ask(
            session, f"SELECT p.a, p.b FROM {reference} AS p JOIN {reference} AS q ON p.a = q.a"
        ) == [(1, "z")]
    ask(session, f"DROP TABLE {name}")
    with pytest.raises(snowflake_error(), match="PASSING does not exist"):
        ask(session, "SELECT * FROM POLYGON.RAW.PASSING")


def test_a_temporary_table_can_be_created_from_a_query(session: SnowflakeConnection) -> None:
    ask(
        session,
        "CREATE OR REPLACE TEMPORARY TABLE POLYGON.RAW.MADE AS SELECT id, v FROM RAW.SUMMED",
    )
    assert ask(session, "SELECT COUNT(*) FROM POLYGON.RAW.MADE") == [(3,)]
    ask(
        session,
        "CREATE OR REPLACE TEMPORARY TABLE POLYGON.RAW.MADE AS "
        "SELECT id FROM POLYGON.RAW.MADE WHERE id = 1",
    )
    assert ask(session, "SELECT * FROM RAW.MADE") == [(1,)]


@pytest.mark.parametrize("schema", ["RAW", "MARTS"])
def test_a_temporary_table_is_visible_only_in_its_session(
    session: SnowflakeConnection, settings: Settings, schema: str
) -> None:
    ask(session, f"USE SCHEMA POLYGON.{schema}")
    ask(session, "DROP TABLE IF EXISTS POLYGON.RAW.SHADOWED")
    ask(session, "CREATE OR REPLACE TABLE POLYGON.RAW.SHADOWED AS SELECT 'kept' AS a")
    ask(session, "CREATE OR REPLACE TEMPORARY TABLE POLYGON.RAW.SHADOWED AS SELECT 'passing' AS a")
    with snowflake.connect(settings, 30) as other:
        assert ask(other, "SELECT a FROM POLYGON.RAW.SHADOWED") == [("kept",)]
    assert ask(session, "SELECT a FROM POLYGON.RAW.SHADOWED") == [("passing",)]
    ask(session, "DROP TABLE POLYGON.RAW.SHADOWED")
    assert ask(session, "SELECT a FROM POLYGON.RAW.SHADOWED") == [("kept",)]


def snowflake_error() -> type[Exception]:
    from snowflake.connector.errors import ProgrammingError

    return ProgrammingError


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT $1 FROM VALUES (1)", [(1,)]),
        ("SELECT $1, $2 FROM VALUES (1, 'a'), (2, 'b')", [(1, "a"), (2, "b")]),
        ("SELECT $2 AS second FROM VALUES (1, 'a') WHERE $1 = 1", [("a",)]),
        ("SELECT t.$1, t.column2 FROM VALUES (1, 'a') AS t", [(1, "a")]),
        ("SELECT $1, n FROM VALUES (1, 'a') AS t (i, n)", [(1, "a")]),
        ("SELECT column1 FROM VALUES (1)", [(1,)]),
        ("SELECT column2 FROM (VALUES (1, 'a'))", [("a",)]),
        ("SELECT SUM($1) FROM VALUES (1), (2)", [(3,)]),
        ("SELECT $1 + 1 AS x FROM VALUES (1), (2) WHERE $1 > 1", [(3,)]),
        ("SELECT x FROM (SELECT $1 AS x FROM VALUES (1))", [(1,)]),
        ("WITH t AS (SELECT $1 AS x FROM VALUES (1)) SELECT * FROM t", [(1,)]),
    ],
)
def test_columns_of_values_can_be_selected_by_number(
    session: SnowflakeConnection, sql: str, rows: list[tuple[Any, ...]]
) -> None:
    assert ask(session, sql) == rows


def test_functions_about_the_session_return_its_values(session: SnowflakeConnection) -> None:
    ask(session, "USE WAREHOUSE compute_wh")
    ask(session, "USE ROLE analyst")
    sql = (
        "SELECT CURRENT_WAREHOUSE(), CURRENT_ROLE(), CURRENT_USER(), CURRENT_DATABASE(), "
        "CURRENT_TRANSACTION()"
    )
    assert ask(session, sql) == [("COMPUTE_WH", "ANALYST", "LOCAL", "POLYGON", None)]
    for function in (
        "ACCOUNT",
        "ACCOUNT_NAME",
        "ORGANIZATION_NAME",
        "REGION",
        "SESSION",
        "VERSION",
        "SCHEMAS",
        "IP_ADDRESS",
    ):
        [(value,)] = ask(session, f"SELECT CURRENT_{function}()")
        assert value, function


def test_a_session_begins_with_the_role_and_warehouse_of_its_login(settings: Settings) -> None:
    login = settings.model_copy(
        update={"snowflake_role": "loader", "snowflake_warehouse": "load_wh"}
    )
    with snowflake.connect(login, 30) as session:
        assert ask(session, "SELECT CURRENT_ROLE() AS r, CURRENT_WAREHOUSE() AS w") == [
            ("LOADER", "LOAD_WH")
        ]


def test_the_last_query_has_an_id(session: SnowflakeConnection) -> None:
    with session.cursor() as cursor:
        cursor.execute("SELECT 1")
        query_id = cursor.sfqid
    assert ask(session, "SELECT LAST_QUERY_ID()") == [(query_id,)]


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("DATE_TRUNC('month', d)", dt.date(2026, 11, 1)),
        ("DATE_TRUNC(month, d)", dt.date(2026, 11, 1)),
        ("DATE_TRUNC('week', d)", dt.date(2026, 11, 16)),
        ("DATE_TRUNC('quarter', d)", dt.date(2026, 10, 1)),
        ("DATE_TRUNC('year', DATE '2026-11-20')", dt.date(2026, 1, 1)),
        ("DATE_TRUNC('day', '2026-11-20'::DATE)", dt.date(2026, 11, 20)),
        ("TRUNC(d, 'month')", dt.date(2026, 11, 1)),
        (
            "DATE_TRUNC('month', '2026-11-20 10:11:12'::TIMESTAMP)",
            dt.datetime.fromisoformat("2026-11-01T00:00"),
        ),
        (
            "DATE_TRUNC('hour', '2026-11-20 10:11:12'::TIMESTAMP)",
            dt.datetime.fromisoformat("2026-11-20T10:00"),
        ),
        ("DATEADD(day, 1, d)", dt.date(2026, 11, 21)),
        ("DATEADD(month, -1, d)", dt.date(2026, 10, 20)),
        ("DATEADD(hour, 1, d)", dt.datetime(2026, 11, 20, 1)),  # noqa: DTZ001
        (
            "DATEADD(day, 1, '2026-11-20 10:00:00'::TIMESTAMP)",
            dt.datetime.fromisoformat("2026-11-21T10:00"),
        ),
        ("LAST_DAY(d)", dt.date(2026, 11, 30)),
    ],
)
def test_a_truncated_or_moved_date_stays_a_date(
    session: SnowflakeConnection, sql: str, value: dt.date
) -> None:
    [(result,)] = ask(session, f"SELECT {sql} AS x FROM RAW.SUMMED WHERE id = 1")
    assert (result, type(result)) == (value, type(value))


MOMENT = dt.datetime(2026, 11, 27, 18, 1, 19)  # noqa: DTZ001 - a TIMESTAMP_NTZ


@pytest.mark.parametrize(
    ("argument", "microseconds"),
    [
        ("1795802479", 0),
        ("'1795802479'", 0),
        ("1795802479123", 123_000),
        ("'1795802479123'", 123_000),
        ("'1795802479123456'", 123_456),
        ("'1795802479123456789'", 123_456),
        ("1795802479123, 3", 123_000),
        ("1795802479123456, 6", 123_456),
        ("1795802479123456789, 9", 123_456),
        ("1795802479, 0", 0),
        ("'2026-11-27 18:01:19.123'", 123_000),
    ],
)
@pytest.mark.parametrize("function", ["TO_TIMESTAMP", "TO_TIMESTAMP_NTZ"])
def test_a_number_becomes_a_time_by_its_count_of_digits(
    session: SnowflakeConnection, function: str, argument: str, microseconds: int
) -> None:
    assert ask(session, f"SELECT {function}({argument}) AS x") == [
        (MOMENT.replace(microsecond=microseconds),)
    ]


@pytest.mark.parametrize(
    ("json", "kind"),
    [
        ('"a"', "VARCHAR"),
        ("1", "INTEGER"),
        ("-1", "INTEGER"),
        ("1.5", "DECIMAL"),
        ("true", "BOOLEAN"),
        ("null", "NULL_VALUE"),
        ("[1]", "ARRAY"),
        ("{}", "OBJECT"),
    ],
)
def test_a_variant_has_the_type_of_its_value(
    session: SnowflakeConnection, json: str, kind: str
) -> None:
    nested = f'{{"a": {json}}}'
    assert ask(
        session, f"SELECT TYPEOF(PARSE_JSON('{json}')), TYPEOF(PARSE_JSON('{nested}'):a)"
    ) == [(kind, kind)]
