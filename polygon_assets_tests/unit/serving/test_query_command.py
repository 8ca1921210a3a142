"""`polygon-assets query`: what a person or a script reads of one symbol."""

import csv
import json
import sys
from types import SimpleNamespace

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client

from polygon_assets.cli import main
from polygon_assets.commands import query
from polygon_assets.commands.answer_formats import show
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
    nyse = settings.model_copy(update={"market_calendar": "NYSE"})
    monkeypatch.setattr(query, "read_settings", lambda: nyse)


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


@pytest.mark.parametrize("command", [["last"], ["bars", "A", *WINDOW], ["versions", "A", *WINDOW]])
def test_arrow_and_parquet_are_the_answer_itself(command: list[str]) -> None:
    arrow, parquet = (
        CliRunner().invoke(main, ["query", *command, "--format", kind]).stdout_bytes
        for kind in ("arrow", "parquet")
    )
    table = pa.ipc.open_stream(arrow).read_all()
    assert table.num_rows > 0
    assert table == pq.read_table(pa.BufferReader(parquet))
    assert json.loads(run(*command, "--format", "json"))[0].keys() == set(table.column_names)


def test_a_terminal_gets_no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    with pytest.raises(click.UsageError, match="--format arrow is not for a terminal: write > F"):
        show(pa.table({"symbol": ["A"]}), "arrow")


def test_a_chart_has_a_candle_for_each_bar() -> None:
    lines = run("bars", "A", *WINDOW, "--every", "1s", "--format", "chart").splitlines()
    assert "A, 1 bars to 2024-03-08 14:30:00 UTC" in lines[0]
    assert "█" in "".join(lines)
    empty = ("--from", "2024-03-09T14:30:00", "--to", "2024-03-09T14:31:00")
    assert run("bars", "A", *empty, "--format", "chart") == "no bar\n"


def test_watch_asks_again_until_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = iter([None, None, KeyboardInterrupt])

    def sleep(_: float) -> None:
        if (pause := next(pauses)) is not None:
            raise pause

    monkeypatch.setattr(query, "time", SimpleNamespace(sleep=sleep))
    lines = run("last", "A", "--watch", "--format", "json").splitlines()
    assert [json.loads(line)[0]["close"] for line in lines] == [2.5] * 3


def test_watch_is_refused_where_answers_cannot_follow_each_other() -> None:
    answer = CliRunner().invoke(main, ["query", "last", "--watch", "--format", "csv"])
    assert "--watch goes with --format table, json, chart" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bars", "A", "--every", "7s"], "unknown width of bars '7s': use 1s"),
        (["day", "2024-12-25"], "2024-12-25 has no session"),
        (["day", "tomorrow"], "write 2026-11-20"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(arguments: list[str], message: str) -> None:
    answer = CliRunner().invoke(main, ["query", *arguments])
    assert answer.exit_code > 0
    assert message in answer.stderr
    assert "Traceback" not in answer.output


@pytest.mark.parametrize(
    "arguments",
    [["movers"], ["delta", "A", *WINDOW], ["day", "2024-03-08"], ["gaps"], ["coverage", "A"]],
)
def test_every_question_prints_its_columns(arguments: list[str]) -> None:
    header = run(*arguments, "--format", "csv").splitlines()[0].split(",")
    assert len(header) > 3


def test_a_time_that_is_none_is_refused_with_an_example() -> None:
    answer = CliRunner().invoke(main, ["query", "as-known-at", "A", "--at", "noon"])
    assert answer.exit_code == 2
    assert "write 2026-11-20T15:00:00" in answer.stderr
