"""The serving tests' ClickHouse, whose versions are kept for ever: the seconds are years old."""

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets import market
from polygon_assets.market import Connection
from polygon_assets.serving.version_retention import set_retention
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.serving.conftest import client, session_client, settings

__all__ = ["client", "connection", "session_client", "settings"]


@pytest.fixture
def connection(client: Client, settings: Settings) -> Iterator[Connection]:
    """A connection to emptied tables, with the calendar of the NYSE."""
    set_retention(client, 0)
    with market.connect(settings.model_copy(update={"market_calendar": "NYSE"})) as connected:
        yield connected
    set_retention(client, 90)
