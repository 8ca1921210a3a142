"""The graph as it is handed to Dagster: what it holds, how it loads, and what it must not carry."""

import datetime as dt
import json
import os
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap

from polygon_assets.definitions import build_defs
from polygon_assets.defs.graph.keys import DEAD_LETTER_TABLE, OHLCV_1M, STREAM_GAPS, TOP_MOVERS_10S
from polygon_assets.defs.graph.live_page import VIEWS
from polygon_assets.defs.graph.partitions import trading_days
from polygon_assets.defs.stream.fill_gaps import GAP_FILL_TAG
from polygon_assets.defs.stream.jobs import PROGRAM_TAG, VALIDATION_TAG
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.settings import Settings
from polygon_assets_tests.graph.rendering import SNAPSHOT, production_defs, render
from polygon_assets_tests.planted_secrets import PLANTED, leaks

HEAVY = (
    *(
        "pandas",
        "numpy",
        "pyarrow",
        "boto3",
        "botocore",
        "kafka",
        "confluent_kafka",
        "clickhouse_connect",
        "polygon",
        "websockets",
    ),
    *(
        "dagster_aws",
        "dagster_snowflake",
        "dagster_airbyte",
        "snowflake.connector",
        "dagster_webserver",
    ),
    *("polygon_assets.streaming", "polygon_assets.local"),
)


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return production_defs()


def fresh_interpreter(code: str, **environment: str) -> str:
    """What `code` prints in a new Python with nothing set but what is given."""
    environment |= {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_loads_in_a_fresh_interpreter_without_anything_set_and_without_heavy_imports() -> None:
    load = "import sys, polygon_assets.definitions as d; d.defs.get_repository_def()"
    loaded = fresh_interpreter(f"{load}; print(*sys.modules, sep='\\n')").splitlines()
    assert "dagster" in loaded
    assert [module for module in HEAVY if module in loaded] == []


def test_the_graph_is_the_one_in_the_snapshot(defs: dg.Definitions) -> None:
    """If the change is meant: python -m polygon_assets_tests.graph.rendering."""
    assert render(defs).splitlines() == SNAPSHOT.read_text().splitlines()


def test_every_asset_has_an_owner_a_kind_a_group_and_says_grain_lateness_and_what_to_do(
    defs: dg.Definitions,
) -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        name = key.to_user_string()
        assert len(key.path) == (3 if key.path[0] == "snowflake" else 2), (
            f"{name}: keys are system/name, in Snowflake system/schema/name"
        )
        assert node.owners, f"{name}: no owner"
        assert node.kinds, f"{name}: no kind"
        assert node.group_name in ("stream", "batch", "serving"), f"{name}: group {node.group_name}"
        missing = [
            part
            for part in ("**Grain:**", "**Lateness:**", "**When it is wrong:**")
            if part not in (node.description or "")
        ]
        assert not missing, f"{name}: the description lacks {missing}"


def test_every_table_and_topic_has_a_column_schema_with_meanings(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        if key.path[0] in ("kafka", "clickhouse", "snowflake"):
            schema = graph.get(key).metadata["dagster/column_schema"]
            assert all(column.description for column in schema.columns), key.to_user_string()


@pytest.mark.filterwarnings(
    "ignore:Property `ScheduleDefinition.environment_vars`"
)  # dagster's own snapshot asks for it
def test_no_secret_reaches_the_snapshot_that_the_webserver_gets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    snapshot = dg.serialize_value(RepositorySnap.from_def(build_defs().get_repository_def()))
    assert "run_producer" in snapshot
    assert leaks(snapshot) == []


def test_partitions_are_trading_days_and_todays_key_exists_from_midnight() -> None:
    days = trading_days(MarketCalendar("NYSE"))
    keys = days.get_partition_keys(current_time=dt.datetime(2026, 11, 25, 0, 1, tzinfo=NEW_YORK))
    assert keys[0] == "2026-01-02"
    assert keys[-3:] == ["2026-11-23", "2026-11-24", "2026-11-25"]
    after_thanksgiving = days.get_partition_keys(
        current_time=dt.datetime(2026, 11, 30, 0, 1, tzinfo=NEW_YORK)
    )
    assert after_thanksgiving[-3:] == ["2026-11-25", "2026-11-27", "2026-11-30"]
    window = days.time_window_for_partition_key("2026-11-27")
    assert (window.end - window.start) == dt.timedelta(days=1)


def test_where_the_market_never_closes_every_day_is_a_partition() -> None:
    days = (
        build_defs(Settings.model_construct(market_calendar="24/7"))
        .resolve_assets_def(OHLCV_1M)
        .partitions_def
    )
    assert days is not None
    keys = days.get_partition_keys(current_time=dt.datetime(2026, 11, 22, 12, tzinfo=NEW_YORK))
    assert keys[-3:] == ["2026-11-20", "2026-11-21", "2026-11-22"]


def test_the_keys_of_todays_partitions_and_of_the_calendar_are_the_same() -> None:
    calendar = MarketCalendar("NYSE")
    first, last = dt.date(2026, 1, 2), dt.date(2027, 12, 31)
    keys = trading_days(calendar).get_partition_keys(
        current_time=dt.datetime(2027, 12, 31, 12, tzinfo=NEW_YORK)
    )
    assert keys == [day.isoformat() for day in calendar.trading_days(first, last)]


def test_the_stream_checks_refresh_the_pages_of_gaps_dead_letters_and_movers(
    defs: dg.Definitions,
) -> None:
    layer = defs.resolve_job_def("stream_checks").asset_layer
    assert set(layer.executable_asset_keys) == {STREAM_GAPS, DEAD_LETTER_TABLE, TOP_MOVERS_10S}


def test_each_asset_of_the_live_page_links_to_its_view() -> None:
    settings = Settings(page_url="http://page")
    graph = build_defs(settings).resolve_asset_graph()
    ends = {
        key: (graph.get(key).description or "").partition("**On the live page:** ")[2]
        for key in graph.get_all_asset_keys()
    }
    links = {key: f"http://page/{view}" for key, view in VIEWS.items()}
    assert {key: end for key, end in ends.items() if end} == {
        key: f"[{link}]({link})" for key, link in links.items()
    }
    assert set(VIEWS.values()) == {"", "trust", "cost", "symbol/AAPL"}


def test_a_run_has_one_process(defs: dg.Definitions) -> None:
    assert {job.executor_def.name for job in defs.resolve_all_job_defs()} == {"in_process"}


def test_an_unusable_calendar_is_refused_with_its_name() -> None:
    output = fresh_interpreter(
        "from polygon_assets.settings import SettingsError\n"
        "try:\n import polygon_assets.definitions\nexcept SettingsError as e: print(e)",
        MARKET_CALENDAR="LSE",
    )
    assert "MARKET_CALENDAR='LSE'" in output


def test_the_shipped_instance_has_its_limits_and_writes_under_local_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("home")
    root = SNAPSHOT.parents[2]
    (home / "dagster.yaml").write_text((root / "dagster.yaml").read_text())
    code = (
        "import json, dagster as dg\n"
        "with dg.DagsterInstance.get() as i:\n"
        " config = i.get_concurrency_config()\n"
        " queue, pools = config.run_queue_config, config.pool_config\n"
        " print(json.dumps([i.telemetry_enabled, i.run_retries_enabled, "
        "i.run_monitoring_enabled, queue.tag_concurrency_limits]))\n"
        " print(json.dumps([pools.pool_granularity.value, pools.default_pool_limit]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"DAGSTER_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    (telemetry, retries, monitoring, limits), pools = map(json.loads, done.stdout.splitlines())
    assert (telemetry, retries, monitoring) == (False, False, True)
    assert pools == ["run", 1]
    assert [limit["key"] for limit in limits] == [PROGRAM_TAG, GAP_FILL_TAG, VALIDATION_TAG]
    assert VALIDATION_TAG in build_defs().resolve_job_def("validate_subscriptions").tags
    assert GAP_FILL_TAG in build_defs().resolve_job_def("fill_gaps").tags
    assert {entry.name for entry in home.iterdir()} <= {
        "dagster.yaml",
        ".local",
        ".telemetry",
        ".logs_queue",
    }
