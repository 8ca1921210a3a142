"""The estimate of a set of channels: its sums by hand, and how it grows."""

import csv
import datetime as dt
import io
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from polygon_assets.cli import main
from polygon_assets.costs.estimate import COLUMNS, Bill, bill_of
from polygon_assets.costs.prices import ITEMS, Price, read_prices
from polygon_assets.costs.quantities import quantities
from polygon_assets.settings import Settings

PRICES = read_prices()
TEN = [f"A.T{number}" for number in range(10)]


def estimated(channels: list[str], prices: dict[str, Price] = PRICES, **changes: float) -> Bill:
    settings = Settings.model_validate(changes)
    return bill_of(quantities(channels, settings), prices, settings)


def test_the_quantities_of_ten_symbols_are_those_computed_by_hand() -> None:
    used = quantities(TEN, Settings())
    rows = 10 * 23_400
    assert (used.events_per_second, used.rows) == (10.0, rows)
    assert used.kafka_written_gb == pytest.approx(rows * 420e-9)
    assert used.kafka_read_gb == pytest.approx(rows * 620e-9)
    assert used.kafka_stored_gb == pytest.approx(rows * 420e-9 * 5)
    assert used.clickhouse_gb == pytest.approx(rows * 30e-9)
    assert used.archive_objects == 6 * 16 * 12
    assert used.rest_requests == 60 + 10 + 16 * 72
    # Four programs, and a run of half a core and 2 GB for each.
    assert used.stream.vcpu == pytest.approx((1.75 + 4 * 0.5) * 16.85)
    assert used.stream.gb == pytest.approx((5 + 4 * 2) * 16.85)
    assert used.dagster.gb == 7.0 * 24


def test_the_bill_has_every_item_once_and_adds_up() -> None:
    bill = estimated(TEN)
    assert {line.item for line in bill.lines} == ITEMS
    assert len(bill.lines) == len(ITEMS)
    assert bill.usd_per_month == pytest.approx(
        sum(line.quantity * PRICES[line.item].usd for line in bill.lines)
    )
    by_item = {line.item: line.quantity for line in bill.lines}
    # A year of the newest versions, and 90 days of all versions, each of 252 trading days a year.
    assert by_item["clickhouse_stored"] == pytest.approx(
        bill.quantities.clickhouse_gb * (252 + 252 * 90 / 365)
    )
    assert by_item["fargate_vcpu"] == pytest.approx(3.75 * 16.85 * 21 + 3.0 * 24 * 30.4)


def test_more_channels_copies_and_days_cost_more() -> None:
    costs = [
        bill.usd_per_month
        for bill in (
            estimated(TEN),
            estimated(TEN * 2),
            estimated(["A.*"]),
            estimated(["A.*"], producer_copies=2),
            estimated(["A.*"], producer_copies=2, stock_versions_days=0),
            estimated(["A.*"], producer_copies=2, stock_versions_days=0, archive_max_seconds=60),
        )
    ]
    assert costs == sorted(costs)
    assert len(set(costs)) == len(costs)


def test_copies_sizes_and_partitions_count() -> None:
    many = Settings(filter_copies=3, sink_copies=2, archiver_copies=2, kafka_partitions=12)
    used = quantities(TEN, many)
    assert used.stream.vcpu == pytest.approx(
        (0.5 + 3 * 0.5 + 2 * 0.5 + 2 * 0.25 + 4 * 0.5) * 16.85
    ), "and the four runs that supervise them"
    assert used.archive_objects == 12 * 16 * 12
    larger = quantities(TEN, Settings(ecs_task_sizes="producer=1:2"))
    assert larger.stream.vcpu == pytest.approx((2.25 + 4 * 0.5) * 16.85)


def test_the_estimate_says_when_its_prices_were_compared() -> None:
    day = dt.date(2026, 11, 20)
    compared = {item: replace(price, as_of=day) for item, price in PRICES.items()}
    assert estimated(TEN, compared).dates == "prices of 2026-11-20 or later"
    older = compared | {"s3_put": replace(PRICES["s3_put"], as_of=dt.date(2020, 3, 1))}
    assert ", at prices of 2020-03-01 or later." in estimated(TEN, older).sentence()
    never = compared | {"s3_put": replace(PRICES["s3_put"], as_of=None)}
    assert estimated(TEN, never).dates == (
        "prices of which 1 of 12 were never compared with the seller's list, the others on "
        "2026-11-20 or later"
    )
    shown = {row[0]: row[COLUMNS.index("compared")] for row in estimated(TEN, never).rows()}
    assert (shown.pop("s3_put"), set(shown.values())) == ("never", {"2026-11-20"})
    none = {item: replace(price, as_of=None) for item, price in PRICES.items()}
    assert estimated(TEN, none).dates.endswith(
        "12 of 12 were never compared with the seller's list"
    )


def test_the_command_prints_a_table_or_csv_and_refuses_a_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "subscriptions.csv"
    file.write_text("channel\nA.AAPL\nA.MSFT\n")
    run = CliRunner().invoke(main, ["estimate", str(file)])
    assert run.exit_code == 0, run.output
    assert "46,800 rows a trading day" in run.output
    assert all(item in run.output for item in ITEMS)
    run = CliRunner().invoke(main, ["estimate", str(file), "--format", "csv"])
    rows = list(csv.DictReader(io.StringIO(run.stdout)))
    assert {row["item"] for row in rows} == ITEMS
    file.write_text("channel\nT.AAPL\n")
    run = CliRunner().invoke(main, ["estimate", str(file)])
    assert run.exit_code == 1
    assert "line 2: 'T.AAPL': unknown channel 'T'" in run.output


def test_the_table_in_markdown_has_a_line_for_each_item() -> None:
    lines = estimated(TEN).markdown().splitlines()
    assert lines[0] == f"| {' | '.join(COLUMNS)} |"
    assert len(lines) == len(ITEMS) + 2
