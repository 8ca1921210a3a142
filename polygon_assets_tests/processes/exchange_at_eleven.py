"""An exchange that replays a day from 11:00 New York on, and the market that it must serve.

The fixtures are imported by the modules that ask its REST API.
"""

import datetime as dt
from collections.abc import Iterator

import pytest

from polygon_assets.local.exchange.market.market import Market
from polygon_assets_tests.unit.local.exchange.harness import (
    DAY,
    SEED,
    TICKERS,
    RunningExchange,
    running_exchange,
)

YESTERDAY = DAY - dt.timedelta(days=1)
SECONDS = "/v2/aggs/ticker/{}/range/1/second/{}/{}"


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    """A replay that starts at 11:00 New York, at the speed of the wall clock."""
    with running_exchange(
        "--replay", str(DAY), "--replay-from", "11:00", "--tickers", str(TICKERS)
    ) as running:
        yield running


@pytest.fixture(scope="module")
def market() -> Market:
    """The market of the exchange."""
    return Market(SEED, TICKERS)
