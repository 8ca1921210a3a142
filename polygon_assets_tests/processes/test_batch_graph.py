"""The batch half of the graph on the embedded servers: loads, marts, checks, stream comparison.

The days are the last settled trading days of the NYSE's calendar, so they are over whenever the
tests run. Weeks with a holiday belong to test_holiday_week.py. The tests stay in one file because
they share a stack whose start takes 20 s.
"""

import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster_airbyte.translator import AirbyteConnection

from polygon_assets.batch.airbyte.connector import (
    CONNECTIONS,
    DAILY_CONNECTION,
    REFERENCE_CONNECTION,
    streams,
)
from polygon_assets.batch.airbyte.provision import open_close_tickers, set_open_close_tickers
from polygon_assets.clients import subscription_store
from polygon_assets.clients.airbyte.api import AirbyteApi
from polygon_assets.defs.batch.sensors import missing_days, reference_changed
from polygon_assets.defs.graph import runs
from polygon_assets.defs.graph.keys import (
    AIRBYTE_SOURCE,
    DAILY_OPEN_CLOSE,
    FACT_DAILY_TRADING,
    GROUPED_DAILY,
    STREAM_VS_BATCH,
    SUBSCRIPTIONS,
    TICKERS,
    mart,
    raw,
)
from polygon_assets.defs.graph.resources import Airbyte
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import accept
from polygon_assets_tests.airbyte_calls import AirbyteCalls
from polygon_assets_tests.processes.batch_graph_harness import (
    COMPANIES,
    DAYS,
    SUBSCRIBED,
    Graph,
    failed_checks,
    failure_text,
    market,
)
from polygon_assets_tests.processes.batch_truth import PRICES, Row, bars_of, stream_seconds
from polygon_assets_tests.processes.harness import Exchange, eventually

SERVERS = ("exchange", "s3", "clickhouse", "snowflake", "airbyte")
EXCHANGE_OPTIONS = ("--calendar", "NYSE", "--tickers", str(COMPANIES))
ONE_RUN = """
import sys, dagster as dg
from polygon_assets.definitions import defs
from polygon_assets.defs.graph.keys import GROUPED_DAILY
dg.materialize([defs.resolve_assets_def(GROUPED_DAILY)], partition_key=sys.argv[1])
"""
"""A process of its own that loads a day, so that the test can kill it."""


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    """The stack's settings with the NYSE's calendar; the stream must equal the bars exactly."""
    changes = {
        "market_calendar": "NYSE",
        "volume_tolerance": 0.0,
        "price_tolerance": 0.0,
        "daily_history_days": 5,
    }
    settings = stack.settings().model_copy(update=changes)
    with closing(AirbyteApi(settings)) as api:
        [source] = api.sources()
        api.patch_source(source["sourceId"], {"start_date": DAYS[0].isoformat()})
    channels = tuple(f"A.{symbol}" for symbol in SUBSCRIBED)
    accepted = accept(
        "channel\n" + "\n".join(channels), channels, "etag", "2026-01-01T00:00:00+00:00"
    )
    subscription_store.connect(settings).publish(accepted)
    return settings


@pytest.fixture
def graph(settings: Settings) -> Iterator[Graph]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(settings, instance)


@pytest.fixture
def exchange(stack: Stack) -> Iterator[Exchange]:
    """The exchange without faults, before the test and after it."""
    exchange = Exchange(stack.ports["exchange"])
    exchange.clear()
    yield exchange
    exchange.clear()


def join_running_sync(graph: Graph, settings: Settings, exchange: Exchange) -> None:
    """Run the reference tables while Airbyte still syncs them; the run must join that sync."""
    # The sync must last longer than a run needs to start, also on a busy machine.
    exchange.control("rest", status=429, path="/v3/reference/exchanges", retry_after=15)
    with closing(AirbyteCalls(settings)) as api:
        # A killed run leaves such a sync behind.
        running_job = api.start_sync(api.connection_id(REFERENCE_CONNECTION))
    assert graph.run(TICKERS).success
    assert graph.metadata(TICKERS)["airbyte_job"] == running_job


def load_with_an_outdated_ticker_list(
    graph: Graph, settings: Settings, day: dt.date, ask: Callable[[str], list[Row]]
) -> None:
    """Sync the day while Airbyte's list has one ticker; the other symbols must come by REST."""
    with closing(AirbyteApi(settings)) as api:
        set_open_close_tickers(api, SUBSCRIBED[:1])
    ask(f"DELETE FROM RAW.DAILY_OPEN_CLOSE WHERE DATE = '{day}'")
    assert graph.run(GROUPED_DAILY, day=day).success
    official = graph.metadata(DAILY_OPEN_CLOSE, day)
    # Between the regular close and the end of the day the sync begins with today's prices, so the
    # first symbol comes by REST too.
    assert official["dagster/partition_row_count"] == len(SUBSCRIBED)
    assert official["rows_by_rest"] in (len(SUBSCRIBED) - 1, len(SUBSCRIBED))


def build_marts(graph: Graph, past: Sequence[dt.date], newest: dt.date) -> None:
    """Build every mart; all checks must pass."""
    dimensions = ("dim_exchange", "dim_ticker", "dim_stock_split")
    whole = ("daily_prices_adjusted", "report_tickers")
    results = [
        graph.run(*map(mart, dimensions)),
        graph.run(FACT_DAILY_TRADING, days=past),
        graph.run(FACT_DAILY_TRADING, day=newest),
        graph.run(*map(mart, whole)),
    ]
    assert [failed_checks(result) for result in results] == [[], [], [], []]


def assert_facts_equal_the_market(ask: Callable[[str], list[Row]], days: Sequence[dt.date]) -> None:
    """The facts are the market's bars, and the adjusted prices have one row for each."""
    in_days = f"trading_day IN ({', '.join(f'{str(day)!r}' for day in days)})"
    facts = ask(
        f"SELECT ticker, trading_day, {', '.join(PRICES)}, volume "
        f"FROM MARTS.FACT_DAILY_TRADING WHERE {in_days}"
    )
    assert sorted(facts) == bars_of(market(), days)
    assert ask(
        "SELECT count(*), count(DISTINCT ticker, trading_day) "
        f"FROM MARTS.DAILY_PRICES_ADJUSTED WHERE {in_days}"
    ) == [(len(facts), len(facts))]


@pytest.mark.long
def test_two_passes_from_the_vendor_to_the_marts_give_every_row_once(
    graph: Graph, settings: Settings, exchange: Exchange, ask: Callable[[str], list[Row]]
) -> None:
    past, newest = DAYS[:3], DAYS[-1]
    assert graph.run(AIRBYTE_SOURCE).success
    with closing(AirbyteApi(settings)) as api:
        assert open_close_tickers(api) == sorted(SUBSCRIBED)
    join_running_sync(graph, settings, exchange)
    assert "unchanged since" in graph.skip_reason(reference_changed)
    assert graph.run(GROUPED_DAILY, day=newest).success
    assert graph.run(GROUPED_DAILY, days=past).success
    exchanges = graph.metadata(raw("exchanges"))
    assert exchanges["rows_synced"] == exchanges["dagster/row_count"] > 0
    assert graph.metadata(TICKERS)["dagster/row_count"] == COMPANIES
    assert graph.metadata(GROUPED_DAILY, newest)["loaded_by"] == "airbyte"
    assert {graph.metadata(GROUPED_DAILY, day)["loaded_by"] for day in past} == {"rest"}
    official = graph.metadata(DAILY_OPEN_CLOSE, past[0])
    assert official["dagster/partition_row_count"] == len(SUBSCRIBED)

    build_marts(graph, past, newest)
    assert_facts_equal_the_market(ask, (*past, newest))
    _, _, *sample = graph.metadata(FACT_DAILY_TRADING, newest)["sample"].splitlines()
    assert len(sample) == 5
    assert all(str(newest) in line for line in sample)
    lineage = graph.metadata(FACT_DAILY_TRADING, newest)["dagster/column_lineage"]
    assert [dep.asset_key for dep in lineage.deps_by_column["VOLUME"]] == [GROUPED_DAILY]

    load_with_an_outdated_ticker_list(graph, settings, newest, ask)
    assert graph.run(GROUPED_DAILY, days=past).success
    assert graph.metadata(GROUPED_DAILY, past[0])["rows_inserted"] == 0
    build_marts(graph, past, newest)
    assert_facts_equal_the_market(ask, (*past, newest))


def test_a_failed_range_keeps_its_loaded_days_and_the_sensor_requests_the_rest(
    graph: Graph, exchange: Exchange, ask: Callable[[str], list[Row]]
) -> None:
    wanted = DAYS[-5:]
    exchange.control(
        "rest", path=f"/v2/aggs/grouped/locale/us/market/stocks/{wanted[2]}", status=403
    )
    result = graph.run(GROUPED_DAILY, days=wanted)
    assert not result.success
    refusal = rf"^{wanted[2]}: \S+/{wanted[2]}: HTTP 403: .*the account's plan"
    assert re.search(refusal, failure_text(result))
    assert f"loaded are {wanted[3]}, {wanted[4]}" in failure_text(result)
    assert graph.instance.get_materialized_partitions(GROUPED_DAILY) == {
        str(day) for day in wanted[3:]
    }
    for key in (SUBSCRIPTIONS, TICKERS):
        graph.instance.report_runless_asset_event(dg.AssetMaterialization(key))
    [request] = graph.tick(missing_days).run_requests or []
    first, last = (
        dt.date.fromisoformat(request.tags[f"dagster/asset_partition_range_{end}"])
        for end in ("start", "end")
    )
    assert (first, last) == (wanted[0], wanted[2])

    exchange.clear()
    assert graph.run(GROUPED_DAILY, days=(first, last)).success
    assert graph.instance.get_materialized_partitions(DAILY_OPEN_CLOSE) == {
        str(day) for day in wanted
    }
    assert graph.run(FACT_DAILY_TRADING, days=wanted).success
    in_days = f"trading_day BETWEEN '{wanted[0]}' AND '{wanted[4]}'"
    facts = ask(
        f"SELECT ticker, trading_day, {', '.join(PRICES)}, volume "
        f"FROM MARTS.FACT_DAILY_TRADING WHERE {in_days}"
    )
    assert sorted(facts) == bars_of(market(), wanted)


@pytest.mark.long
def test_after_kill_9_during_a_sync_the_next_run_joins_it_and_every_row_is_there_once(
    graph: Graph,
    stack: Stack,
    settings: Settings,
    exchange: Exchange,
    ask: Callable[[str], list[Row]],
) -> None:
    newest = DAYS[-1]
    exchange.control(
        "rest", path=f"/v2/aggs/grouped/locale/us/market/stocks/{newest}", status=429, retry_after=1
    )
    environment = os.environ | stack.environment() | {"MARKET_CALENDAR": "NYSE"}
    with (
        closing(AirbyteApi(settings)) as api,
        subprocess.Popen([sys.executable, "-c", ONE_RUN, str(newest)], env=environment) as run,
    ):
        connection = api.connection_id(DAILY_CONNECTION)
        try:
            job = eventually(
                lambda: [
                    job["jobId"] for job in api.jobs(connection) if job["status"] == "running"
                ],
                "the sync is under way",
            )
        finally:
            run.kill()
    exchange.clear()
    assert graph.run(GROUPED_DAILY, day=newest).success
    assert [graph.metadata(GROUPED_DAILY, newest)["airbyte_job"]] == job
    rows = ask(
        f"SELECT ticker, date, {', '.join(PRICES)}, volume::NUMBER(28, 6) "
        f"FROM RAW.GROUPED_DAILY WHERE date = '{newest}'"
    )
    assert sorted(rows) == bars_of(market(), (newest,))


def test_a_lost_minute_and_a_lost_symbol_are_named_and_a_whole_day_matches(
    graph: Graph, settings: Settings
) -> None:
    day = DAYS[-2]
    truth = market()
    lost = int(dt.datetime.combine(day, dt.time(10, 31), NEW_YORK).timestamp() * 1000)
    for key in (GROUPED_DAILY, FACT_DAILY_TRADING):
        assert graph.run(key, day=day).success
    stream_seconds(settings, truth, "AAPL", day)
    stream_seconds(settings, truth, "MSFT", day, without=range(lost, lost + 60_000))
    result = graph.run(STREAM_VS_BATCH, day=day)
    [check] = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "2 of 3 symbols differ" in (check.description or "")
    assert "* MSFT: drift, minutes 10:31" in (check.description or "").splitlines()
    assert "NVDA: missing_in_stream, minutes 0" in (check.description or "")
    metadata = graph.metadata(STREAM_VS_BATCH, day)
    assert (metadata["match"], metadata["drift"], metadata["missing_in_stream"]) == (1, 1, 1)
    assert 0 < metadata["largest_volume_drift"] < 0.1

    stream_seconds(settings, truth, "MSFT", day)
    stream_seconds(settings, truth, "NVDA", day)
    result = graph.run(STREAM_VS_BATCH, day=day)
    assert failed_checks(result) == []
    assert graph.metadata(STREAM_VS_BATCH, day)["dagster/partition_row_count"] == 3


@pytest.mark.long
def test_every_run_in_a_pool_logs_at_intervals(
    graph: Graph, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LOG_EVERY_SECONDS", 0.001)
    day = DAYS[-3]
    stream_seconds(settings, market(), "AAPL", day)
    results = [
        graph.run(TICKERS),
        *(graph.run(key, day=day) for key in (GROUPED_DAILY, FACT_DAILY_TRADING, STREAM_VS_BATCH)),
    ]
    for result in results:
        lines = [entry.user_message for entry in graph.instance.all_logs(result.run_id)]
        assert any("at work" in line for line in lines), result.job_def.name


def test_a_failed_sync_is_explained_in_the_connectors_words(
    graph: Graph, exchange: Exchange
) -> None:
    exchange.control("refuse", entitlement="/v3/reference/exchanges")
    result = graph.run(TICKERS)
    assert not result.success
    assert "polygon_reference: Airbyte's job" in failure_text(result)
    assert "The account's plan does not include" in failure_text(result)
    assert graph.instance.get_latest_materialization_event(TICKERS) is None


def test_the_raw_tables_in_the_graph_are_those_of_the_live_connections(settings: Settings) -> None:
    client = Airbyte().client(settings)
    details = [
        client.get_connection_details(connection["connectionId"])
        for connection in client.get_connections()
    ]
    live = {
        connection.name: connection.streams
        for connection in map(AirbyteConnection.from_connection_details, details)
    }
    assert {name: set(of_connection) for name, of_connection in live.items()} == {
        name: set(names) for name, names in CONNECTIONS.items()
    }
    for name, stream in (pair for connection in live.values() for pair in connection.items()):
        assert stream.selected
        assert stream.json_schema["properties"] == streams()[name].properties


def size_check(result: dg.ExecuteInProcessResult) -> AssetCheckEvaluation:
    """The check of the splits' table in a run."""
    [evaluation] = [
        evaluation
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.asset_key == raw("stock_split")
    ]
    return evaluation


@pytest.mark.long
def test_a_much_smaller_reference_table_is_refused_until_a_person_accepts_it(
    graph: Graph, settings: Settings
) -> None:
    from polygon_assets.clients import snowflake

    assert graph.run(raw("stock_split")).success
    with closing(snowflake.connect(settings)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM RAW.STOCK_SPLIT")
        [[rows]] = cursor.fetchall()
        cursor.execute("SELECT * FROM RAW.STOCK_SPLIT_LAST_GOOD LIMIT 0")
        columns = [column.name for column in cursor.description]
        values = ", ".join(
            "s.id || '-' || n.n" if name == "ID" else f"s.{name}" for name in columns
        )
        cursor.execute(
            f"INSERT INTO RAW.STOCK_SPLIT_LAST_GOOD SELECT {values} "
            "FROM RAW.STOCK_SPLIT AS s, (SELECT 1 AS n UNION ALL SELECT 2) AS n"
        )
        refused = graph.run(raw("stock_split"))
        check = size_check(refused)
        assert (check.passed, check.blocking) == (False, True)
        assert f"{rows:,} rows arrived, {3 * rows:,} were stored" in (check.description or "")
        assert "accept_smaller: [stock_split]" in (check.description or "")
        cursor.execute("SELECT COUNT(*) FROM RAW.STOCK_SPLIT")
        assert cursor.fetchall() == [(3 * rows,)]
        accepted = graph.run(
            raw("stock_split"),
            config={
                "ops": {"sync_reference_tables": {"config": {"accept_smaller": ["stock_split"]}}}
            },
        )
        assert size_check(accepted).passed
        assert "accepted by a person" in (size_check(accepted).description or "")
        cursor.execute("SELECT COUNT(*) FROM RAW.STOCK_SPLIT")
        assert cursor.fetchall() == [(rows,)]
