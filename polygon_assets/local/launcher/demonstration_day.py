"""Runs the demonstration of yesterday beside a new stack, and says what became of the day.

Add when a demonstration is shown here; what it delivers belongs to `local.demonstration`.
"""

import datetime as dt
import sys
from collections.abc import Sequence
from itertools import pairwise

from polygon_assets.local.launcher.process import Process
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_clock import calendar_of

_OPTIONS = ("--seed", "--tickers", "--activity")
"""Options of the exchange that make another market."""
_STOP_SECONDS = 1.0


class Demonstration:
    """The process that delivers the day; a context, at whose end it has ended."""

    def __init__(self, stack: Stack, exchange_options: Sequence[str]) -> None:
        calendar = calendar_of(stack.settings())
        self.day = calendar.previous_day(calendar.day_of(dt.datetime.now(dt.UTC)))
        self._stack = stack
        self._options = [
            part
            for name, value in pairwise(exchange_options)
            if name in _OPTIONS
            for part in (name, value)
        ]
        self._process: Process | None = None

    @property
    def failure(self) -> str:
        """The last lines of its log if the day could not be delivered."""
        if self._process is None or self._process.exit_code in (None, 0):
            return ""
        return self._process.last_lines()

    def __enter__(self) -> "Demonstration":
        command = [sys.executable, "-m", "polygon_assets.local.demonstration", *self._options]
        self._process = self._stack.beside("demonstration", command)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.stop(_STOP_SECONDS)
