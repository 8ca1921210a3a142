"""docs/market.ipynb runs from top to bottom, and is stored without answers."""

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import pytest

from polygon_assets.market import Connection
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.serving.seconds import insert, random_seconds

NOTEBOOK = Path(__file__).parents[3] / "docs" / "market.ipynb"


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_runs_from_top_to_bottom(
    connection: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = round(dt.datetime.now(dt.UTC).timestamp() - 240) * 1000
    seconds = random_seconds(random.Random(2), ("AAPL", "MSFT"), began, 30)
    insert(connection.client, seconds)
    for name in ("host", "port", "user", "secure"):
        value = getattr(settings, f"clickhouse_{name}")
        monkeypatch.setenv(f"CLICKHOUSE_{name.upper()}", str(value))
    password = settings.clickhouse_password.get_secret_value()
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", password)
    monkeypatch.setenv("MARKET_CALENDAR", "24/7")
    names: dict[str, Any] = {}
    for cell in code_cells():
        exec("".join(cell["source"]), names)
    assert names["prices"]["symbol"].to_pylist() == ["AAPL", "MSFT"]
    assert names["minutes"].num_rows > 0
    assert names["seconds"].num_rows > 0
    assert names["versions"].num_rows >= names["known"].num_rows > 0


def test_the_notebook_is_stored_without_answers() -> None:
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code_cells())
