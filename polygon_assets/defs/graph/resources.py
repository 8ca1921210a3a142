"""What the definitions get from outside: the environment, the stream programs, Airbyte.

Add an outside dependency of the graph here; what is done with it belongs to assets and sensors. No
field holds a secret: a field's value goes into the snapshot that the webserver shows.
"""

import sys
import warnings
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from polygon_assets.clients import market_clock, tls
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import MarketClock, calendar_of
from polygon_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    from dagster_airbyte.resources import AirbyteClient


class Environment(dg.ConfigurableResource[Settings]):
    """Settings, read when they are needed and never at import."""

    def settings(self) -> Settings:
        """The environment as it is now. Raises SettingsError naming each bad variable."""
        return load_settings()

    def calendar(self) -> MarketCalendar:
        return calendar_of(self.settings())

    def clock(self) -> MarketClock:
        """Market time, as it runs now. Raises MarketClockError."""
        return market_clock.connect(self.settings())


class StreamPrograms(dg.ConfigurableResource[list[str]]):
    """How a stream program is started."""

    command: list[str] = Field(
        default=[],
        description="The command, to which the program's name is added; empty for this Python's "
        "own programs.",
    )

    def command_for(self, program: str) -> list[str]:
        return [*(self.command or [sys.executable, "-m", "polygon_assets.cli", "stream"]), program]


class Airbyte(dg.ConfigurableResource["AirbyteClient"]):
    """dagster-airbyte's workspace, created by a sync: definitions load without Airbyte."""

    poll_seconds: float = Field(default=2.0, description="How often a running sync is polled.")

    def client(self, settings: Settings) -> "AirbyteClient":
        """The workspace's client, for Airbyte Cloud and for a self-managed Airbyte.

        AirbyteCloudWorkspace is the same class with Cloud's two addresses fixed; both get their
        token from POST {rest}/applications/token.
        """
        from dagster_airbyte import AirbyteWorkspace

        tls.export(settings)
        with warnings.catch_warnings():
            # Workspace and client are marked beta, which a user of this project cannot change.
            warnings.simplefilter("ignore", dg.BetaWarning)
            workspace = AirbyteWorkspace(
                rest_api_base_url=settings.airbyte_api_url.rstrip("/"),
                configuration_api_base_url=settings.airbyte_configuration_api_url.rstrip("/"),
                workspace_id=settings.airbyte_workspace_id,
                client_id=settings.airbyte_client_id,
                client_secret=settings.airbyte_client_secret.get_secret_value(),
                poll_interval=self.poll_seconds,
                # Airbyte's server restarts in half a minute; a sync goes on meanwhile.
                request_max_retries=15,
                request_retry_delay=2.0,
                # After a crash here a sync may still run: it is joined, because Airbyte refuses a
                # second one.
                poll_previous_running_sync=True,
            )
            return workspace.get_client()
