"""A code location whose session is over as soon as the file SESSION_OVER exists.

The programs are services of an ECS cluster; the tests belong to test_ecs_run.
"""

import os
import time
from pathlib import Path

from polygon_assets.definitions import build_defs
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.market_clock import WALL_CLOCK, MarketClock

A_YEAR = 366 * 24 * 3600.0


class EndsByFile(Environment):
    """Wall time, until a year has passed at once."""

    def clock(self) -> MarketClock:
        if Path(os.environ["SESSION_OVER"]).exists():
            return MarketClock(anchors=((0.0, time.time() + A_YEAR),))
        return WALL_CLOCK


defs = build_defs(resource_overrides={"environment": EndsByFile()})
