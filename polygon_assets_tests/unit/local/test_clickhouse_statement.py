import pytest

from polygon_assets.local.clickhouse.errors import ClickHouseError
from polygon_assets.local.clickhouse.statement import Insert, Query, parse

SETTINGS = "SETTINGS a = 1, b = 'FORMAT x' "
CONFUSING = '/* FORMAT x */ INSERT INTO `FORMAT` ("values") -- VALUES\n'


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (b"INSERT INTO t (a, b) FORMAT Native\n\x01\x02'\xff", Insert("INSERT INTO t (a, b) ", "", "Native", b"\x01\x02'\xff")),
        (b"insert into t format TSV \r\n1\n", Insert("insert into t ", "", "TSV", b"1\n")),
        (b"INSERT INTO t FORMAT TSV\n\n1", Insert("INSERT INTO t ", "", "TSV", b"\n1")),
        (f"INSERT INTO t {SETTINGS}FORMAT CSV 1".encode(), Insert("INSERT INTO t ", SETTINGS, "CSV", b"1")),
        (f"{CONFUSING}FORMAT CSV".encode(), Insert(CONFUSING, "", "CSV", b"")),
    ],
)
def test_the_data_of_an_insert_start_after_its_format(sql: bytes, expected: Insert) -> None:
    assert parse(sql) == expected


@pytest.mark.parametrize(
    ("sql", "returns_rows", "output_format"),
    [
        (b"SELECT 1", True, None),
        (b"  -- remark\nselect 'FORMAT CSV' from (select 1 format TSV) format JSON;", True, "JSON"),
        (b"WITH 1 AS x SELECT x FORMAT Native", True, "Native"),
        (b"(SELECT 1) UNION ALL (SELECT 2)", True, None),
        (b"SHOW TABLES", True, None),
        (b"CREATE TABLE t (n Int8) ENGINE = Null", False, None),
        (b"INSERT INTO t VALUES (1, 'FORMAT CSV'); ", False, None),
        (b"INSERT INTO t SELECT 1 FORMAT TSV", False, None),
        (b"", False, None),
    ],
)
def test_other_statements_stay_whole(sql: bytes, returns_rows: bool, output_format: str | None) -> None:
    assert parse(sql) == Query(sql, returns_rows, output_format)


@pytest.mark.parametrize(("sql", "code"), [(b"SELECT 1; SELECT 2", 62), (b"INSERT INTO t SELECT n FROM input('n Int8') FORMAT TSV\n1", 48)])
def test_what_the_engine_would_get_wrong_is_refused(sql: bytes, code: int) -> None:
    with pytest.raises(ClickHouseError) as refusal:
        parse(sql)
    assert refusal.value.code == code


def test_only_formats_that_can_be_strung_together_are_streamed() -> None:
    streamed = {name: Query(b"", True, name).streams("CSV") for name in ("Native", "JSONEachRow", "JSON", "Arrow", "CSVWithNames")}
    assert streamed == {"Native": True, "JSONEachRow": True, "JSON": False, "Arrow": False, "CSVWithNames": False}
    assert Query(b"", True, None).streams("CSV")
    assert not Query(b"", False, "CSV").streams("CSV")
