"""What the person at the terminal of `make dev` is told."""

import io
from typing import cast

import pytest
from rich.console import Console

from polygon_assets.local.launcher import dev
from polygon_assets.local.launcher.stack import Stack


def test_rows_of_an_earlier_start_do_not_pass_for_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = iter([3364, 0, 3364, 3365])
    monkeypatch.setattr(dev, "_rows", lambda _stack: next(counts))
    monkeypatch.setattr(dev, "LOOK_SECONDS", 0.0)
    console = Console(record=True, file=io.StringIO())
    checked: list[None] = []
    dev._tell_first_rows(
        cast("Stack", None), console, 0.0, rows_before=3364, look=lambda: checked.append(None)
    )
    assert len(checked) == 3
    assert "3,365 rows in market.stock_aggregates" in console.export_text()
