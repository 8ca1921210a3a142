"""The lines that `make dev` prints on the terminal."""

import io
from typing import cast

import pytest
from rich.console import Console

from polygon_assets.local.launcher import dev
from polygon_assets.local.launcher.stack import Stack


def test_rows_of_an_earlier_start_do_not_count_as_streamed_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = iter([3364, 0, 3364, 3365])
    monkeypatch.setattr(dev, "_rows", lambda _stack: next(counts))
    monkeypatch.setattr(dev, "POLL_SECONDS", 0.0)
    console = Console(record=True, file=io.StringIO())
    checked: list[None] = []
    dev._wait_for_first_rows(
        cast("Stack", None),
        console,
        0.0,
        3364,
        check_servers=lambda: checked.append(None),
    )
    assert len(checked) == 3
    assert "3,365 rows in market.stock_aggregates" in console.export_text()
