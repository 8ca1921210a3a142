"""`polygon-assets query`: what a person or a script reads of one symbol."""

import csv
import json

import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client

from polygon_assets.cli import main
from polygon_assets.commands import query
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.serving.seconds import insert
from polygon_assets_tests.unit.serving.test_stock_versions import second

WINDOW = ("--from", "2024-03-08T14:30:00", "--to", "2024-03-08T09:31:00-05:00")


@pytest.fixture(autouse=True)
def _versions_of_one_second(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polygon_assets.serving.version_retention import set_retention

    set_retention(client, 0)
    insert(client, [second(3_000_000), second(7_000_000, close=2.5, vwap=None)])
    monkeypatch.setattr(query, "read_settings", lambda: settings)


def run(*arguments: str) -> str:
    answer = CliRunner().invoke(main, ["query", *arguments])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def test_json_has_what_was_known_at_the_moment_with_exact_decimals() -> None:
    at = ("--at", "2024-03-08T14:30:05")
    [row] = json.loads(run("as-known-at", "A", *at, "--format", "json"))
    assert (row["close"], row["vwap"], row["volume"]) == (2.0, 2.0, "5.000000")
    assert row["received_at"] == "2024-03-08T14:30:03+00:00"


def test_csv_has_a_header_and_every_version_with_an_empty_null() -> None:
    lines = run("versions", "A", *WINDOW, "--format", "csv").splitlines()
    rows = list(csv.DictReader(lines))
    assert [(row["version"], row["close"], row["vwap"]) for row in rows] == [
        ("1", "2.0", "2.0"),
        ("2", "2.5", ""),
    ]
    assert {row["finality"] for row in rows} == {"revised"}


def test_a_table_has_one_line_per_version_however_narrow_the_terminal_is() -> None:
    header, *lines, total = run("versions", "A", *WINDOW).splitlines()
    assert header.split()[:3] == ["symbol", "start_timestamp", "version"]
    assert len(lines) == 2
    assert total == "2 rows"


def test_a_time_that_is_none_is_refused_with_an_example() -> None:
    answer = CliRunner().invoke(main, ["query", "as-known-at", "A", "--at", "noon"])
    assert answer.exit_code == 2
    assert "write 2026-11-20T15:00:00" in answer.stderr
