"""Syncs through Airbyte's API: Snowflake's rows after errors, cancellations and crashes.

Tests of the API without syncs belong to test_airbyte_api.
"""

import datetime as dt
import signal
from collections.abc import Iterator

import psutil
import pytest

from polygon_assets.batch.airbyte.connector import CONNECTIONS, REFERENCE_CONNECTION, streams
from polygon_assets.clients.airbyte.job_outcome import JobOutcome
from polygon_assets.clients.airbyte.transport import AirbyteError
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets_tests.processes.airbyte_harness import (
    GROUPED,
    Connection,
    Workspace,
    bars,
    tables,
)
from polygon_assets_tests.processes.harness import Exchange, eventually

SERVERS = ("exchange", "snowflake", "airbyte")
EXCHANGE_OPTIONS = ("--tickers", "50")
_TODAY = dt.datetime.now(NEW_YORK).date()
DAYS = [_TODAY - dt.timedelta(days=ago) for ago in (4, 3, 2, 1)]
"""Past days, so that the exchange's answers about them never change."""


@pytest.fixture(scope="module")
def workspace(stack: Stack) -> Iterator[Workspace]:
    made = Workspace(stack)
    yield made
    made.api.close()


@pytest.fixture
def exchange(stack: Stack) -> Iterator[Exchange]:
    control = Exchange(stack.ports["exchange"])
    yield control
    control.clear()


@pytest.fixture
def daily(workspace: Workspace, request: pytest.FixtureRequest) -> Connection:
    """A connection of grouped_daily over DAYS, with a table of the test's own."""
    return workspace.connect(request.node.name.removeprefix("test_"), ["grouped_daily"], DAYS)


def assert_exact(workspace: Workspace, daily: Connection) -> None:
    """The table has every bar of the exchange exactly once."""
    with tables(workspace.settings) as raw:
        assert raw.rows(daily, "grouped_daily", "TICKER", "DATE") == bars(workspace.settings, DAYS)


def start_and_block(workspace: Workspace, exchange: Exchange, daily: Connection) -> int:
    """Start a job that commits the first days and cannot read the last one; returns its id."""
    exchange.control("rest", path=f"{GROUPED}/{DAYS[-1]}", status=503, count=100)
    job_id = workspace.api.start_sync(daily.id)
    workspace.until_committed(job_id)
    return job_id


def rows_left(workspace: Workspace, daily: Connection) -> int:
    """The rows that the next sync must read: the last committed day again, and all later days."""
    last = str(workspace.api.states(daily.id)["grouped_daily"]["date"])[:10]
    return len(bars(workspace.settings, [day for day in DAYS if day.isoformat() >= last]))


def resume(workspace: Workspace, daily: Connection) -> JobOutcome:
    """Run the next sync after an incomplete one; the table is then complete without duplicates."""
    outcome = workspace.sync(daily)
    assert outcome.status == "succeeded"
    assert_exact(workspace, daily)
    return outcome


def test_a_first_sync_loads_everything_despite_refusals_and_a_second_sync_only_changes(
    workspace: Workspace, exchange: Exchange
) -> None:
    exchange.control("rest", path=f"{GROUPED}/{DAYS[1]}", status=429, count=1, retry_after=1)
    exchange.control("rest", path=f"{GROUPED}/{DAYS[2]}", status=503, count=1)
    names = ["exchanges", "tickers", "grouped_daily", "daily_open_close"]
    named = [ticker for ticker, _ in bars(workspace.settings, DAYS[:1])][:2]
    connection = workspace.connect("both", names, DAYS, named)
    first, second = workspace.sync(connection), workspace.sync(connection)
    assert [first.status, second.status] == ["succeeded", "succeeded"]
    assert_exact(workspace, connection)
    with tables(workspace.settings) as raw:
        keys = raw.rows(connection, "tickers", "TICKER", "MARKET")
        assert len(keys) == len(set(keys)) == first.streams["tickers"].committed
        assert (
            len(raw.rows(connection, "exchanges", "ID")) == first.streams["exchanges"].committed > 0
        )
        official = [bar for bar in bars(workspace.settings, DAYS) if bar[0] in named]
        assert raw.rows(connection, "daily_open_close", "TICKER", "DATE") == official != []
        generations = raw.rows(connection, "exchanges", "_AIRBYTE_GENERATION_ID")
        assert {generation for (generation,) in generations} == {second.job_id}
    assert second.streams["tickers"].emitted < 10
    # The last day is read again, because it may have been incomplete.
    assert second.streams["grouped_daily"].emitted == len(bars(workspace.settings, DAYS[-1:]))


@pytest.mark.long
def test_a_stream_without_records_gets_an_empty_table(workspace: Workspace) -> None:
    connection = workspace.connect("empty", ["daily_open_close"], DAYS)
    assert workspace.sync(connection).status == "succeeded"
    with tables(workspace.settings) as raw:
        assert raw.rows(connection, "daily_open_close", "TICKER", "VOLUME") == []


def test_a_failed_sync_reports_the_reason_and_leaves_the_tables_unchanged(
    workspace: Workspace, exchange: Exchange
) -> None:
    connection = workspace.connect("refused", ["exchanges"], DAYS)
    assert workspace.sync(connection).status == "succeeded"
    exchange.control("refuse", key=True)
    outcome = workspace.sync(connection)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("The vendor rejected this API key (HTTP 401).")
    assert outcome.reason.endswith("into `api_key`. (source)")
    assert "rejected this API key (HTTP 401)" in workspace.log(outcome.job_id)
    with tables(workspace.settings) as raw:
        assert raw.rows(connection, "exchanges", "ID")


@pytest.mark.long
def test_a_cancelled_sync_stops_its_connector_and_keeps_the_committed_rows(
    workspace: Workspace, exchange: Exchange, daily: Connection
) -> None:
    job_id = start_and_block(workspace, exchange, daily)
    with pytest.raises(
        AirbyteError, match=rf"HTTP 409: A sync is already running for: {daily.id} \(job {job_id}\)"
    ):
        workspace.api.start_sync(daily.id)
    [connector] = workspace.connectors()
    assert workspace.api.cancel(job_id)["status"] == "cancelled"
    assert not connector.is_running()
    with pytest.raises(AirbyteError, match="HTTP 409: Job is not currently running"):
        workspace.api.cancel(job_id)
    exchange.clear()
    assert 0 < workspace.api.outcome(job_id).rows < len(bars(workspace.settings, DAYS))
    left = rows_left(workspace, daily)
    assert resume(workspace, daily).rows == left


@pytest.mark.long
def test_a_killed_connector_fails_its_job_and_the_next_sync_resumes(
    workspace: Workspace, exchange: Exchange, daily: Connection
) -> None:
    job_id = start_and_block(workspace, exchange, daily)
    [connector] = workspace.connectors()
    connector.send_signal(signal.SIGKILL)
    outcome = workspace.end(job_id)
    assert outcome.status == "failed"
    assert "the connector was killed by signal 9 before it had read grouped_daily" in outcome.reason
    exchange.clear()
    assert 0 < outcome.rows < len(bars(workspace.settings, DAYS))
    left = rows_left(workspace, daily)
    assert resume(workspace, daily).rows == left


@pytest.mark.long
def test_a_killed_server_ends_its_connector_and_the_next_sync_resumes(
    stack: Stack, workspace: Workspace, exchange: Exchange, daily: Connection
) -> None:
    job_id = start_and_block(workspace, exchange, daily)
    [connector] = workspace.connectors()
    stack.kill("airbyte")
    eventually(
        lambda: not connector.is_running() or connector.status() == psutil.STATUS_ZOMBIE,
        "the connector is gone",
    )
    stack.restart("airbyte")
    outcome = workspace.api.outcome(job_id)
    assert (outcome.status, outcome.reason) == (
        "failed",
        "the server was stopped (airbyte_platform)",
    )
    assert outcome.rows
    assert workspace.api.states(daily.id)["grouped_daily"]
    exchange.clear()
    resume(workspace, daily)


def test_a_table_that_cannot_be_written_fails_the_job_with_snowflakes_message(
    workspace: Workspace, daily: Connection
) -> None:
    with tables(workspace.settings) as raw:
        raw.ask(f"CREATE VIEW RAW.{daily.prefix}grouped_daily AS SELECT 1 AS ONE")
    outcome = workspace.sync(daily)
    assert outcome.status == "failed"
    assert f"table RAW.{daily.prefix.upper()}GROUPED_DAILY could not be loaded" in outcome.reason
    assert outcome.reason.endswith("(destination)")
    assert not workspace.connectors()


@pytest.mark.filterwarnings("ignore:Class `(Base)?Airbyte.* is currently in beta")
def test_an_unmodified_dagster_airbyte_reads_the_workspace_syncs_and_reports_a_failure(
    workspace: Workspace, exchange: Exchange
) -> None:
    import dagster as dg
    from dagster_airbyte import AirbyteWorkspace

    settings = workspace.settings
    airbyte = AirbyteWorkspace(
        rest_api_base_url=settings.airbyte_api_url,
        configuration_api_base_url=settings.airbyte_configuration_api_url,
        workspace_id=settings.airbyte_workspace_id,
        client_id=settings.airbyte_client_id,
        client_secret=settings.airbyte_client_secret.get_secret_value(),
        poll_interval=0.2,
    )
    properties = {
        (table.connection_name, table.stream_name): table
        for table in airbyte.fetch_airbyte_workspace_data().to_airbyte_connection_table_props_data()
        if table.connection_name in CONNECTIONS
    }
    assert set(properties) == {
        (name, stream) for name, members in CONNECTIONS.items() for stream in members
    }
    for (_, stream), table in properties.items():
        assert (table.fully_qualified_table_name, table.destination_type) == (
            f"POLYGON.RAW.{stream}",
            "snowflake",
        )
        assert table.json_schema["properties"] == streams()[stream].properties
    client, reference = airbyte.get_client(), workspace.api.connection_id(REFERENCE_CONNECTION)
    output = client.sync_and_poll(reference)
    assert (
        output.job_details["rowsSynced"]
        == workspace.api.outcome(output.job_details["jobId"]).rows
        > 0
    )
    exchange.control("refuse", key=True)
    with pytest.raises(dg.Failure, match=r"Job failed: \d+"):
        client.sync_and_poll(reference)
