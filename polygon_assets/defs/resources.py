"""What the definitions are given from outside: the environment and the stream programs. Logic of assets and sensors stays out.

No field holds a secret: a field's value goes into the snapshot that the webserver shows.
"""

import sys

import dagster as dg
from pydantic import Field

from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.settings import Settings, load_settings


class Environment(dg.ConfigurableResource[Settings]):
    """Settings, read when they are needed and never at import."""

    def settings(self) -> Settings:
        """The environment as it is now. Raises SettingsError naming each bad variable."""
        return load_settings()

    def calendar(self) -> MarketCalendar:
        return MarketCalendar(self.settings().market_calendar)


class StreamPrograms(dg.ConfigurableResource[list[str]]):
    """How a stream program is started."""

    command: list[str] = Field(default=[], description="What to run, the program's name added last; empty for this Python's own programs.")

    def command_for(self, program: str) -> list[str]:
        return [*(self.command or [sys.executable, "-m", "polygon_assets.cli", "stream"]), program]
