import pytest

from polygon_assets.local.clickhouse.errors import ClickHouseError
from polygon_assets.local.clickhouse.statement import (
    Insert,
    Query,
    format_name,
    killing_by_client_id,
    parse,
    with_query_id,
)

SETTINGS = "SETTINGS a = 1, b = 'FORMAT x' "
CONFUSING = '/* FORMAT x */ INSERT INTO `FORMAT` ("values") -- VALUES\n'


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            b"INSERT INTO t (a, b) FORMAT Native\n\x01\x02'\xff",
            Insert("INSERT INTO t (a, b) ", "", "Native", b"\x01\x02'\xff"),
        ),
        (b"insert into t format TSV \r\n1\n", Insert("insert into t ", "", "TSV", b"1\n")),
        (b"INSERT INTO t FORMAT TSV\n\n1", Insert("INSERT INTO t ", "", "TSV", b"\n1")),
        (
            f"INSERT INTO t {SETTINGS}FORMAT CSV 1".encode(),
            Insert("INSERT INTO t ", SETTINGS, "CSV", b"1"),
        ),
        (
            b"WITH 1 AS y INSERT INTO t (s) FORMAT TSV\na;\n",
            Insert("WITH 1 AS y INSERT INTO t (s) ", "", "TSV", b"a;\n"),
        ),
        (f"{CONFUSING}FORMAT CSV".encode(), Insert(CONFUSING, "", "CSV", b"")),
    ],
)
def test_the_data_of_an_insert_start_after_its_format(sql: bytes, expected: Insert) -> None:
    assert parse(sql) == expected


@pytest.mark.parametrize(
    ("sql", "body", "first_word", "output_format"),
    [
        (b"SELECT 1", b"SELECT 1", b"SELECT", None),
        (
            b"  -- remark\nselect 'FORMAT CSV' from (select 1 format TSV) format JSON; ;",
            None,
            b"SELECT",
            "JSON",
        ),
        (b"WITH 1 AS x SELECT x FORMAT Native", None, b"WITH", "Native"),
        (b"WITH 'INSERT INTO t' AS x SELECT x FORMAT CSV", None, b"WITH", "CSV"),
        (b"WITH 1 AS x INSERT INTO t SELECT x", None, b"WITH", None),
        (b"(SELECT 1) UNION ALL (SELECT 2)", None, b"(", None),
        (b"SHOW TABLES", None, b"SHOW", None),
        (b"SELECT $$ ; FORMAT CSV $$, $x$'$x$ FORMAT TSV", None, b"SELECT", "TSV"),
        (b"CREATE TABLE t (n Int8) ENGINE = Null", None, b"CREATE", None),
        (b"INSERT INTO t VALUES (1, 'FORMAT CSV'); ", None, b"INSERT", None),
        (b"INSERT INTO t SELECT 1 FORMAT TSV", None, b"INSERT", None),
        (b"", b"", b"", None),
    ],
)
def test_statements_without_data_stay_whole(
    sql: bytes, body: bytes | None, first_word: bytes, output_format: str | None
) -> None:
    query = parse(sql)
    assert isinstance(query, Query)
    assert (query.first_word, query.format) == (first_word, output_format)
    assert query.body == (sql.partition(b"; ;")[0] if body is None else body)


def test_into_outfile_is_inserted_before_the_format() -> None:
    query = parse(b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1")
    assert isinstance(query, Query)
    assert (
        query.formatted_into_file("/x")
        == b"SELECT 1 INTO OUTFILE '/x' APPEND FORMAT JSON SETTINGS max_threads = 1"
    )
    assert query.unformatted == b"SELECT 1 "
    plain = parse(b"SELECT 1 -- remark")
    assert isinstance(plain, Query)
    assert (
        plain.into_file("/x", "CSV") == b"SELECT 1 -- remark\nINTO OUTFILE '/x' APPEND FORMAT CSV"
    )


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        (b"SELECT 1; SELECT 2", 62),
        (b"INSERT INTO t SELECT n FROM input('n Int8') FORMAT TSV\n1", 48),
        (b"SELECT 1 INTO OUTFILE '/tmp/x'", 48),
        (b"(SELECT 1) into /* x */ outfile '/tmp/x' FORMAT CSV", 48),
        (b"INSERT INTO t FROM INFILE '/etc/passwd' FORMAT LineAsString", 48),
    ],
)
def test_statements_that_the_engine_would_mishandle_are_refused(sql: bytes, code: int) -> None:
    with pytest.raises(ClickHouseError) as refusal:
        parse(sql)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (b"SELECT queryID()", b"SELECT ('it\\'s' AS `queryID()`)"),
        (
            b"SELECT f(query_id ( )), 'queryID()', query_id",
            b"SELECT f(('it\\'s' AS `query_id()`)), 'queryID()', query_id",
        ),
        (
            b"INSERT INTO t SELECT initialQueryID()",
            b"INSERT INTO t SELECT ('it\\'s' AS `initialQueryID()`)",
        ),
        (
            b"CREATE TABLE t (q String DEFAULT queryID()) ENGINE = Null",
            b"CREATE TABLE t (q String DEFAULT queryID()) ENGINE = Null",
        ),
    ],
)
def test_the_clients_query_id_replaces_the_engines(sql: bytes, expected: bytes) -> None:
    query = parse(sql)
    assert isinstance(query, Query)
    assert with_query_id(query, "it's") == expected


def test_kill_query_compares_the_clients_ids() -> None:
    query = parse(b"KILL QUERY WHERE query_id = 'query_id' OR query_id IN ('b') SYNC")
    assert isinstance(query, Query)
    expression = b"if(mapContains(Settings, 's'), Settings['s'], query_id)"
    assert killing_by_client_id(
        query, "s"
    ) == b"KILL QUERY WHERE %b = 'query_id' OR %b IN ('b') SYNC" % (expression, expression)


@pytest.mark.parametrize("name", ["TSV SETTINGS x = 1", "", "a'b", "CSV;"])
def test_the_name_of_a_format_is_a_word(name: str) -> None:
    with pytest.raises(ClickHouseError, match="UNKNOWN_FORMAT"):
        format_name(name)
