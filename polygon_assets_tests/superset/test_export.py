"""Superset's export: every reference leads to a file, and every file is used by a dashboard."""

import io
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from polygon_assets.settings import Settings
from scripts.superset import FOLDER, databases, export

ROOT = FOLDER / "export"
SETTINGS = Settings.model_validate(
    {
        "clickhouse_host": "click.example.com",
        "clickhouse_user": "us er",
        "clickhouse_password": "p@ss/word",
        "snowflake_account": "account",
        "snowflake_user": "reader",
        "snowflake_password": "secret",
        "snowflake_database": "POLYGON",
        "snowflake_host": "127.0.0.1",
        "snowflake_port": 8084,
        "snowflake_protocol": "http",
    }
)


def read(kind: str) -> dict[str, dict[str, Any]]:
    """The files of a kind by uuid."""
    contents = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / kind).rglob("*.yaml"))]
    return {content["uuid"]: content for content in contents}


DATABASES, DATASETS, CHARTS, DASHBOARDS = map(
    read, ("databases", "datasets", "charts", "dashboards")
)


def placed(dashboard: dict[str, Any]) -> set[str]:
    places = (place for place in dashboard["position"].values() if isinstance(place, dict))
    return {place["meta"]["uuid"] for place in places if place["type"] == "CHART"}


def test_every_chart_stands_on_a_dashboard_and_every_dataset_has_a_chart() -> None:
    assert set().union(*map(placed, DASHBOARDS.values())) == CHARTS.keys()
    assert {chart["dataset_uuid"] for chart in CHARTS.values()} == DATASETS.keys()
    assert {dataset["database_uuid"] for dataset in DATASETS.values()} == DATABASES.keys()


def test_the_three_dashboards_cover_both_halves() -> None:
    titles = {dashboard["dashboard_title"] for dashboard in DASHBOARDS.values()}
    assert titles == {"Live market", "Daily", "Trust"}


@pytest.mark.parametrize("chart", CHARTS.values(), ids=lambda chart: chart["slice_name"])
def test_a_chart_names_only_columns_that_its_dataset_has(chart: dict[str, Any]) -> None:
    columns = {column["column_name"] for column in DATASETS[chart["dataset_uuid"]]["columns"]}
    params = chart["params"]
    named = {*params.get("all_columns", []), *params.get("groupby", [])}
    assert named | ({params["x_axis"]} if "x_axis" in params else set()) <= columns
    assert chart["viz_type"] == params["viz_type"]


def test_no_file_holds_a_password() -> None:
    for database in DATABASES.values():
        assert urlsplit(database["sqlalchemy_uri"]).password is None
        assert "connect_args" not in database["extra"]["engine_params"]


def test_the_archive_leads_to_the_stack_with_quoted_logins() -> None:
    with zipfile.ZipFile(io.BytesIO(export(databases(SETTINGS)))) as archive:
        names = archive.namelist()
        contents = {
            Path(name).stem: yaml.safe_load(archive.read(name))
            for name in names
            if "/databases/" in name
        }
    assert len(names) == len(list(ROOT.rglob("*.yaml")))
    uri = contents["ClickHouse"]["sqlalchemy_uri"]
    assert uri.startswith("clickhousedb://us%20er:p%40ss%2Fword@click.example.com:")
    assert contents["Snowflake"]["sqlalchemy_uri"] == (
        "snowflake://reader:secret@account/POLYGON/MARTS"
    )
    assert contents["Snowflake"]["extra"]["engine_params"]["connect_args"] == {
        "host": "127.0.0.1",
        "port": 8084,
        "protocol": "http",
    }
