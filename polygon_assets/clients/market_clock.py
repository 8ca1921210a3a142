"""Reads the market's clock: the wall clock or, with MARKET_REPLAY, the simulated exchange's.

Only the HTTP request belongs here; computing with a clock belongs to `market_clock`.
"""

import requests

from polygon_assets.clients import tls
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.market_clock import WALL_CLOCK, MarketClock, clock_of
from polygon_assets.settings import Settings

ANSWER_SECONDS = 4.0


class MarketClockError(PolygonAssetsError):
    """The exchange's clock cannot be read; the message names the address and the cure."""


def connect(settings: Settings) -> MarketClock:
    """The market's clock as it runs now. Raises MarketClockError."""
    if not settings.market_replay:
        return WALL_CLOCK
    address = f"{settings.polygon_rest_url.rstrip('/')}/control/clock"
    try:
        # No proxies of the environment: the exchange of a replay is on this machine.
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(address, timeout=ANSWER_SECONDS, verify=tls.verify(settings))
        answer.raise_for_status()
        return clock_of(answer.json())
    except (requests.RequestException, KeyError, TypeError, ValueError) as error:
        cure = "start the replay again, or unset MARKET_REPLAY where the market is not replayed"
        raise MarketClockError(
            f"MARKET_REPLAY={settings.market_replay}, but {address} gives no clock ({error}): "
            f"{cure}"
        ) from error
