"""An instance in memory and an environment that reads nothing."""

from collections.abc import Iterator

import dagster as dg
import pytest
from pydantic import SecretStr

from polygon_assets.defs.graph.resources import Environment
from polygon_assets.settings import Settings

ALWAYS_OPEN = Settings(
    market_calendar="24/7",
    kafka_bootstrap_servers="127.0.0.1:1",
    clickhouse_host="127.0.0.1",
    clickhouse_port=1,
    polygon_api_key=SecretStr("key"),
)


class OpenMarket(Environment):
    """Everything set, nothing there, never closed."""

    def settings(self) -> Settings:
        return ALWAYS_OPEN


class NothingSet(Environment):
    """The defaults, in a market that never closes."""

    def settings(self) -> Settings:
        return Settings.model_construct(market_calendar="24/7")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as one:
        yield one
