"""Runs the demonstration of a past day beside a new stack.

Add when a demonstration is due here; what it delivers belongs to `local.demonstration`, and the
lines on the terminal to `dev`.
"""

import datetime as dt
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from polygon_assets.local.launcher.process import Process
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_clock import calendar_of

_OPTIONS = ("--seed", "--tickers", "--activity")
"""Options of the exchange that make another market."""
_STOP_SECONDS = 1.0
_BEGUN, _DONE = "demonstration.begun", "demonstration.done"
"""Files in the data folder; the first has the day."""


def is_due(data_dir: Path) -> bool:
    """Whether a folder is new, or a delivery into it was interrupted; ask before the stack starts.

    Rows would be a poor sign: a server that is busy says nothing about them.
    """
    return (data_dir / _BEGUN).exists() or not (data_dir / "clickhouse").exists()


class Demonstration:
    """The process that delivers the day; a context, at whose end it has ended."""

    def __init__(self, stack: Stack, exchange_options: Sequence[str]) -> None:
        self._stack = stack
        self._begun = stack.data_dir / _BEGUN
        self._options = [
            part
            for name, value in pairwise(exchange_options)
            if name in _OPTIONS
            for part in (name, value)
        ]
        if self._begun.exists():
            self.day = dt.date.fromisoformat(self._begun.read_text())
        else:
            calendar = calendar_of(stack.settings())
            self.day = calendar.newest_settled_day(dt.datetime.now(dt.UTC))
        self._process: Process | None = None

    @property
    def failure(self) -> str:
        """The last lines of its log if the day could not be delivered."""
        if self._process is None or self._process.exit_code in (None, 0):
            return ""
        return self._process.last_lines()

    def __enter__(self) -> "Demonstration":
        self._begun.write_text(f"{self.day}")
        command = [sys.executable, "-m", "polygon_assets.local.demonstration", *self._options]
        self._process = self._stack.beside("demonstration", [*command, "--day", f"{self.day}"])
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            if self._process.exit_code == 0:
                self._begun.replace(self._begun.with_name(_DONE))
            self._process.stop(_STOP_SECONDS)
