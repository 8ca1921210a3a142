"""The embedded ClickHouse through the client that production uses, unmodified."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
import sqlalchemy
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from polygon_assets.clients import clickhouse
from polygon_assets.settings import Settings

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678_901, dt.UTC)


SERVERS = ("clickhouse",)


@pytest.fixture(scope="module")
def module_client(settings: Settings) -> Iterator[Client]:
    client = clickhouse.connect(settings)
    yield client
    client.close()
    client.close_connections()


@pytest.fixture
def client(module_client: Client) -> Client:
    module_client.command("DROP TABLE IF EXISTS market.t")
    module_client.command(
        "CREATE TABLE market.t (n UInt64, s String, d Decimal(18, 6), at DateTime64(6, 'UTC'),"
        " CONSTRAINT small CHECK n < 1000000)"
        " ENGINE = MergeTree ORDER BY n PARTITION BY intDiv(n, 1000000)"
    )
    return module_client


def rows(count: int) -> list[list[object]]:
    return [
        [number, f"it's\t'{number}'\n\\", Decimal(number) / 7 // Decimal("0.000001") / 10**6, NOW]
        for number in range(count)
    ]


def count(client: Client) -> int:
    return int(str(client.command("SELECT count() FROM market.t")))


def connect(settings: Settings, **options: Any) -> Client:
    return clickhouse.connect(settings, **options)


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip", False])
def test_inserted_rows_are_read_back_unchanged_with_each_compression(
    settings: Settings, compression: str | bool
) -> None:
    own = connect(settings, compress=compression)
    own.insert("market.t", rows(3000), column_names=["n", "s", "d", "at"])
    stored = own.query("SELECT * FROM market.t ORDER BY n", tz_mode="aware").result_rows
    assert [list(row) for row in stored] == rows(3000)
    own.close()


def test_inserts_of_every_kind_are_acknowledged_with_their_rows(client: Client) -> None:
    table = pa.table({"n": pa.array([1, 2], pa.uint64()), "s": ["a", "b"]})
    assert client.insert_arrow("market.t", table).written_rows == 2
    assert (
        client.insert(
            "market.t", [[3, 4], ["c", "d"]], column_names=["n", "s"], column_oriented=True
        ).written_rows
        == 2
    )
    assert (
        client.raw_insert(
            "market.t", insert_block=b'{"n":5}\n{"n":6}\n', fmt="JSONEachRow"
        ).written_rows
        == 2
    )
    assert (
        client.raw_insert(
            "market.t", ["n", "s"], insert_block="7,x\n", fmt="CSV", settings={"max_threads": 1}
        ).written_rows
        == 1
    )
    client.command("INSERT INTO market.t (n, s) VALUES (8, 'semi;colon'), (9, 'FORMAT Native')")
    client.command(
        "INSERT INTO market.t (n, s) SETTINGS async_insert = 0 FORMAT JSONEachRow", data=b'{"n":10}'
    )
    client.command("INSERT INTO market.t (n) SELECT number + 11 FROM numbers(5)")
    assert client.query(
        "SELECT groupArray(n) FROM (SELECT n FROM market.t ORDER BY n)"
    ).result_rows == [(list(range(1, 16)),)]


@pytest.mark.parametrize(
    ("block", "code"),
    [
        # The constraint refuses the row while it is written, after all rows were parsed.
        (b'{"n":1}\n{"n":2000000}', 469),
        (b'{"n":1}\n{"n":"x"}', 27),
        (b'{"n":1}\n{"n":', 32),
    ],
)
def test_a_refused_insert_raises_an_error_and_inserts_nothing(
    client: Client, block: bytes, code: int
) -> None:
    with pytest.raises(DatabaseError) as refusal:
        client.raw_insert("market.t", insert_block=block, fmt="JSONEachRow")
    assert refusal.value.code == code
    assert count(client) == 0


def test_an_error_in_a_materialized_view_is_reported(client: Client) -> None:
    client.command(
        "CREATE MATERIALIZED VIEW market.t_mv ENGINE = MergeTree ORDER BY x "
        "AS SELECT throwIf(n = 7) AS x FROM market.t"
    )
    try:
        with pytest.raises(DatabaseError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
            client.insert("market.t", [[7]], column_names=["n"])
    finally:
        client.command("DROP VIEW market.t_mv")


def test_rows_for_insert_select_are_refused_rather_than_ignored(client: Client) -> None:
    with pytest.raises(DatabaseError, match="NOT_IMPLEMENTED"):
        client.command(
            "INSERT INTO market.t (n) SELECT n FROM input('n UInt64') FORMAT JSONEachRow",
            data=b'{"n":1}',
        )


def test_the_server_binds_parameters_from_the_url_and_from_a_form(client: Client) -> None:
    text = 'it\'s\t"quoted"\n\\ ünï {x}'
    answer = client.query(
        "SELECT {s:String}, {d:Date}, {t:DateTime64(6, 'UTC')}",
        parameters={"s": text, "d": NOW.date(), "t": NOW},
        tz_mode="aware",
    )
    assert answer.result_rows == [(text, NOW.date(), NOW)]
    numbers = list(range(20_000))
    assert client.query(
        "SELECT arraySum({many:Array(UInt32)})", parameters={"many": numbers}
    ).result_rows == [(sum(numbers),)]
    names = [f"it's {number}" for number in numbers]
    assert client.query(
        "SELECT {names:Array(String)}", parameters={"names": names}
    ).result_rows == [(names,)]


def test_settings_apply_only_to_their_query(client: Client, settings: Settings) -> None:
    threads = "SELECT getSetting('max_threads')"
    usual = client.command(threads)
    assert client.command(threads, settings={"max_threads": 7}) == 7
    assert client.command(threads) == usual
    with connect(settings, session_id="settings") as session:
        session.command("SET max_block_size = 1234")
        assert (
            session.command("SELECT getSetting('max_block_size')", settings={"max_threads": 7})
            == 1234
        )
        assert (
            session.command(threads),
            session.command("SELECT getSetting('max_block_size')"),
        ) == (usual, 1234)
    client.command("SET max_threads = 7")
    assert client.command(threads) == usual


def test_a_temporary_table_is_visible_only_in_its_session(settings: Settings) -> None:
    with (
        connect(settings, session_id="one") as owner,
        connect(settings, session_id="two") as stranger,
    ):
        owner.command("CREATE TEMPORARY TABLE mine (n UInt8)")
        owner.insert("mine", [[1], [2]])
        assert owner.query("SELECT sum(n) FROM mine").result_rows == [(3,)]
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
            stranger.query("SELECT * FROM mine")


def test_errors_carry_codes_and_names(client: Client, settings: Settings) -> None:
    for statement, code, name in (
        ("SELECT * FROM market.nowhere", 60, "UNKNOWN_TABLE"),
        ("SELECT * FROM nowhere.t", 81, "UNKNOWN_DATABASE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT 1; DROP TABLE market.t", 62, "SYNTAX_ERROR"),
        ("SELECT nonsense", 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT 1 SETTINGS nonsense = 1", 115, "UNKNOWN_SETTING"),
        (
            "SELECT number FROM numbers(50000000) ORDER BY rand() "
            "SETTINGS max_memory_usage = 10000000",
            241,
            "MEMORY_LIMIT_EXCEEDED",
        ),
    ):
        with pytest.raises(DatabaseError) as refusal:
            client.query(statement)
        assert (refusal.value.code, refusal.value.name) == (code, name)
    with pytest.raises(DatabaseError) as refusal:
        connect(settings, database="nowhere").query("SELECT 1")
    assert refusal.value.code == 81


def test_wrong_credentials_raise_code_516(settings: Settings) -> None:
    for user, password in (("default", "wrong"), ("nobody", "local")):
        with pytest.raises(DatabaseError) as refusal:
            clickhouse_connect.get_client(
                host=settings.clickhouse_host,
                port=settings.clickhouse_port,
                username=user,
                password=password,
            )
        assert (refusal.value.code, refusal.value.name) == (516, "AUTHENTICATION_FAILED")


@pytest.mark.usefixtures("client")
def test_the_database_of_a_client_is_used(settings: Settings) -> None:
    with connect(settings, database="market") as own:
        own.insert("t", [[1]], column_names=["n"])
        assert own.command("SELECT currentDatabase()") == "market"
        assert own.query("SELECT n FROM t").result_rows == [(1,)]


def test_an_answer_without_rows_has_its_columns(client: Client) -> None:
    assert client.query("SELECT n, s FROM market.t LIMIT 0").column_names == ("n", "s")
    assert client.query("SHOW TABLES FROM market LIKE 't'").result_rows == [("t",)]
    assert client.command("SELECT s FROM market.t") == ""


def test_large_results_are_streamed(client: Client) -> None:
    with client.query_row_block_stream(
        "SELECT number, toString(number) FROM numbers(500000)"
    ) as blocks:
        sizes = [len(block) for block in blocks]
    assert sum(sizes) == 500_000
    assert len(sizes) > 2
    with client.query_arrow_stream("SELECT number FROM numbers(100000)") as batches:
        assert sum(batch.num_rows for batch in batches) == 100_000


def test_an_error_in_the_middle_of_a_stream_is_raised(client: Client) -> None:
    # In one thread, or the failing row could be read before the first rows are sent.
    with client.query_row_block_stream(
        "SELECT number, throwIf(number = 3000000) FROM numbers(5000000)",
        settings={"max_threads": 1},
    ) as blocks:
        assert next(blocks)
        with pytest.raises(StreamFailureError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
            list(blocks)


def test_a_stream_left_early_ends_its_query(client: Client) -> None:
    for _ in range(20):
        with client.query_row_block_stream("SELECT number FROM numbers(10000000)") as blocks:
            next(blocks)
    assert client.command("SELECT count() FROM system.processes") == 1


def test_the_sqlalchemy_dialect_works(client: Client, settings: Settings) -> None:
    password = settings.clickhouse_password.get_secret_value()
    engine = sqlalchemy.create_engine(
        f"clickhousedb://{settings.clickhouse_user}:{password}@"
        f"{settings.clickhouse_host}:{settings.clickhouse_port}/market"
    )
    client.insert("market.t", [[1, "a"], [2, "b"]], column_names=["n", "s"])
    with engine.connect() as connection:
        assert (
            connection.execute(sqlalchemy.text("SELECT s FROM t WHERE n = :n"), {"n": 2}).scalar()
            == "b"
        )
        assert "t" in sqlalchemy.inspect(connection).get_table_names()
    engine.dispose()
