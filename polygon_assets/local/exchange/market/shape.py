"""The shape of a trading day: activity and volume by minute of a session.

Add the U of regular hours and the thin extended hours here; the choice of trading seconds belongs
to `bars`.
"""

import numpy as np

from polygon_assets.local.exchange.market.noise import Floats
from polygon_assets.market_calendar import Session

MINUTE = 60


def session_bounds(session: Session) -> tuple[int, int]:
    """Unix seconds of the first second of the session and of the first second after it."""
    return int(session.extended_open.timestamp()), int(session.extended_close.timestamp())


def activity(session: Session) -> Floats:
    """Per minute: how often tickers trade, relative to an average regular minute (mean 1)."""
    start, end = session_bounds(session)
    opened, closed = (
        int(moment.timestamp()) for moment in (session.regular_open, session.regular_close)
    )
    times = np.arange(start, end, MINUTE, dtype=np.float64)
    place = (times - opened) / (closed - opened)
    regular = 0.62 + 1.14 * (2.0 * place - 1.0) ** 2
    pre = 0.02 + 0.13 * np.clip((times - start) / max(1, opened - start), 0, 1) ** 2
    post = 0.02 + 0.16 * np.clip((end - times) / max(1, end - closed), 0, 1) ** 4
    return np.where(times < opened, pre, np.where(times < closed, regular, post))


def volume(session: Session) -> Floats:
    """Per minute: a trading second's volume relative to the average; peaks at open and close."""
    shape = np.sqrt(activity(session))
    opened = int((session.regular_open - session.extended_open).total_seconds()) // MINUTE
    closed = int((session.regular_close - session.extended_open).total_seconds()) // MINUTE
    if closed - opened < len(shape):
        shape[opened] *= 3.0
        shape[closed - 1] *= 4.0
    return shape
