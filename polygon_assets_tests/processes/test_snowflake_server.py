"""The embedded Snowflake as a process: crash and shutdown, concurrent clients, error answers."""

import datetime as dt
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import Error, ProgrammingError

from polygon_assets.clients import snowflake
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings

SERVERS = ("snowflake",)


@pytest.fixture
def session(settings: Settings) -> Iterator[SnowflakeConnection]:
    with snowflake.connect(settings, 30) as session:
        ask(session, "CREATE OR REPLACE TABLE RAW.T (id NUMBER(38,0) NOT NULL, n NUMBER(38,0))")
        yield session


def ask(session: SnowflakeConnection, sql: str, *parameters: Any) -> list[Any]:
    with session.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall()


def run_clients(stack: Stack, code: str, count: int) -> list[str]:
    """Run `code` in `count` processes at once, in the stack's environment; return their output."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    clients = [
        subprocess.Popen(command, env=stack.environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [client.communicate(timeout=120)[0].strip() for client in clients]


def test_the_database_and_its_schemas_exist_from_the_start(
    session: SnowflakeConnection,
) -> None:
    schemas = {
        row[0] for row in ask(session, "SELECT schema_name FROM information_schema.schemata")
    }
    assert {"RAW", "MARTS"} <= schemas


def test_a_comment_on_a_column_leaves_no_warning_in_the_log(
    session: SnowflakeConnection, stack: Stack
) -> None:
    ask(
        session,
        "CREATE OR REPLACE TABLE RAW.T (id NUMBER(38,0) NOT NULL COMMENT 'text', n NUMBER(38,0))",
    )
    assert "CommentColumnConstraint" not in stack.process("snowflake").log.read_text()


def test_a_failing_statement_is_answered_at_once_with_its_reason(
    session: SnowflakeConnection,
) -> None:
    started = time.monotonic()
    with pytest.raises(ProgrammingError, match="NOT NULL constraint failed"):
        ask(session, "INSERT INTO RAW.T VALUES (NULL, 1)")
    with pytest.raises(ProgrammingError, match="SELECT 1; SELECT 2"):
        ask(session, "SELECT 1; SELECT 2")
    # With an HTTP 500 the connector would retry for 30 s.
    assert time.monotonic() - started < 15


# The connector's thread that cancels a statement cannot reach the killed server.
@pytest.mark.long
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_acknowledged_rows_survive_sigkill_and_a_merge_is_atomic(
    session: SnowflakeConnection, stack: Stack
) -> None:
    """The server is killed while a client updates ten rows and adds ten with each statement."""
    ask(session, "CREATE OR REPLACE TABLE RAW.NEW (id NUMBER(38,0), n NUMBER(38,0))")
    acknowledged = 0
    killer = threading.Timer(0.07, lambda: stack.kill("snowflake"))
    with suppress(Error), snowflake.connect(stack.settings(), 2) as writer:
        while True:
            if acknowledged == 3:
                killer.start()
            rows = ", ".join(
                f"({number}, {acknowledged + 1})"
                for number in range(10 * acknowledged, 10 * acknowledged + 20)
            )
            ask(writer, f"INSERT OVERWRITE INTO RAW.NEW VALUES {rows}")
            ask(
                writer,
                "MERGE INTO RAW.T AS stored USING RAW.NEW AS new ON stored.id = new.id "
                "WHEN MATCHED THEN UPDATE SET n = new.n "
                "WHEN NOT MATCHED THEN INSERT (id, n) VALUES (new.id, new.n)",
            )
            acknowledged += 1
    killer.join()
    stack.restart("snowflake")
    with snowflake.connect(stack.settings(), 30) as again:
        counts = ask(
            again,
            "SELECT COUNT(*), COUNT(DISTINCT id), COUNT_IF(n = (SELECT MAX(n) FROM RAW.T)) "
            "FROM RAW.T",
        )
    complete = {
        (10 * merges + 10, 10 * merges + 10, 20) for merges in (acknowledged, acknowledged + 1)
    }
    assert acknowledged >= 3
    assert set(counts) <= complete


def test_sigterm_ends_the_server_with_code_0_and_keeps_the_rows(
    session: SnowflakeConnection, stack: Stack
) -> None:
    ask(session, "INSERT INTO RAW.T VALUES (1, 1)")
    process = stack.process("snowflake")
    process.stop(20)
    stack.restart("snowflake")
    with snowflake.connect(stack.settings(), 30) as again:
        assert (process.exit_code, ask(again, "SELECT * FROM RAW.T")) == (0, [(1, 1)])


@pytest.mark.long
def test_processes_that_write_the_same_rows_at_once_wait_for_each_other(
    session: SnowflakeConnection, stack: Stack
) -> None:
    code = """
        import datetime as dt
        from polygon_assets.batch.airbyte.connector import Stream
        from polygon_assets.batch.raw import table_writer
        from polygon_assets.clients import snowflake
        from polygon_assets.settings import load_settings
        columns = {"id": {"type": "integer"}, "writer": {"type": "string"}}
        stream = Stream("contended", ("id",), None, columns)
        with snowflake.connect(load_settings()) as session:
            written = [
                table_writer.merge(
                    session,
                    stream,
                    ({"id": n} for n in range(500)),
                    dt.datetime(2026, 11, 20, hour, tzinfo=dt.UTC),
                )
                for hour in range(5)
            ]
        print(sum(load.inserted for load in written))
    """
    inserted = [int(text) for text in run_clients(stack, code, 2)]
    assert sum(inserted) == 500
    assert ask(session, "SELECT COUNT(*), COUNT(DISTINCT id) FROM RAW.CONTENDED") == [(500, 500)]


@pytest.mark.long
def test_dagster_snowflakes_resource_works_unmodified(
    session: SnowflakeConnection, stack: Stack
) -> None:
    code = """
        import os
        from dagster_snowflake import SnowflakeResource
        resource = SnowflakeResource(
            account=os.environ["SNOWFLAKE_ACCOUNT"],
            user=os.environ["SNOWFLAKE_USER"],
            password=os.environ["SNOWFLAKE_PASSWORD"],
            database=os.environ["SNOWFLAKE_DATABASE"],
            additional_snowflake_connection_args={
                "host": os.environ["SNOWFLAKE_HOST"],
                "port": int(os.environ["SNOWFLAKE_PORT"]),
                "protocol": os.environ["SNOWFLAKE_PROTOCOL"],
            },
        )
        with resource.get_connection() as session:
            session.cursor().execute("INSERT INTO RAW.T SELECT 7, %s", (8,))
            print(session.cursor().execute("SELECT * FROM RAW.T").fetchall())
    """
    assert run_clients(stack, code, 1) == ["[(7, 8)]"]
    assert ask(session, "SELECT * FROM RAW.T") == [(7, 8)]


def test_a_transaction_is_invisible_to_others_before_its_commit(
    session: SnowflakeConnection, settings: Settings
) -> None:
    with snowflake.connect(settings, 30) as other:
        for statement in ("BEGIN", "DELETE FROM RAW.T", "INSERT INTO RAW.T VALUES (1, 1)"):
            ask(session, statement)
        assert ask(other, "SELECT * FROM RAW.T") == []
        ask(session, "COMMIT")
        assert ask(other, "SELECT * FROM RAW.T") == [(1, 1)]


def test_a_session_without_autocommit_frees_the_write_lock_when_it_creates_a_table(
    session: SnowflakeConnection, settings: Settings
) -> None:
    with snowflake.connect(settings, 30, autocommit=False) as other:
        ask(other, "INSERT INTO RAW.T VALUES (1, 1)")
        ask(other, "CREATE OR REPLACE TABLE RAW.MADE (id NUMBER(38,0))")
        ask(session, "INSERT INTO RAW.T VALUES (2, 2)")
        assert ask(session, "SELECT id FROM RAW.T ORDER BY id") == [(1,), (2,)]


def test_a_null_time_stays_null(session: SnowflakeConnection) -> None:
    moment = dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC)
    assert ask(
        session, "SELECT NULL::TIMESTAMP_TZ, %s::TIMESTAMP_TZ, NULL::TIMESTAMP_NTZ", moment
    ) == [(None, moment, None)]


def test_a_session_ends_when_it_is_closed(settings: Settings) -> None:
    """Otherwise the server would grow with each connection of `status`."""
    with snowflake.connect(settings, 30) as session:
        # `rest` is None only after the session was closed.
        token = session.rest.token  # type: ignore[union-attr]
    with pytest.raises(snowflake.SnowflakeError, match="401 Unauthorized"):
        snowflake.connect(settings, 5, session_token=token, master_token=token)


def test_a_statement_sent_twice_runs_once(session: SnowflakeConnection, settings: Settings) -> None:
    """The connector sends it again, with the same id, when the connection breaks."""
    url = f"http://{settings.snowflake_host}:{settings.snowflake_port}/queries/v1/query-request"
    # `rest` is None only after the session was closed.
    authorization = f'Snowflake Token="{session.rest.token}"'  # type: ignore[union-attr]

    def send(request_id: str) -> Any:
        return requests.post(
            url,
            params={"requestId": request_id},
            headers={"Authorization": authorization},
            json={"sqlText": "INSERT INTO RAW.T SELECT range, 1 FROM range(100000)"},
            timeout=60,
        ).json()

    with ThreadPoolExecutor(2) as threads:
        running = list(threads.map(send, ["first", "first"]))
    answers = [*running, send("first")]
    assert answers[0]["success"]
    assert answers == [answers[0]] * 3
    assert ask(session, "SELECT COUNT(*) FROM RAW.T") == [(100_000,)]
    send("second")
    assert ask(session, "SELECT COUNT(*) FROM RAW.T") == [(200_000,)]


def run_server(port: int, path: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "polygon_assets.local.snowflake",
        "--port",
        str(port),
        "--path",
        str(path),
        "--database",
        "X",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_in_use_is_refused(tmp_path: Path, settings: Settings) -> None:
    refused = run_server(settings.snowflake_port, tmp_path)
    assert refused.returncode == 1
    assert f"('{HOST}', {settings.snowflake_port}): address already in use" in refused.stderr


def test_a_directory_in_use_is_refused_with_the_owners_pid(stack: Stack) -> None:
    refused = run_server(free_port(0, set()), stack.data_dir / "snowflake")
    assert refused.returncode == 1
    assert f"(PID {stack.process('snowflake').pid})" in refused.stderr
    assert "Traceback" not in refused.stderr
