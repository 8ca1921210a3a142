"""The serving tests' ClickHouse, for what the page reads from it."""

from polygon_assets_tests.unit.market.conftest import connection
from polygon_assets_tests.unit.serving.conftest import client, session_client, settings

__all__ = ["client", "connection", "session_client", "settings"]
