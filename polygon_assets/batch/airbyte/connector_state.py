"""The connector's state, as far as someone other than the connector has to change it.

What a state means is in the manifest; fetching it from Airbyte and putting it back is `provision`'s business.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any


def with_new_tickers(
    state: Mapping[str, Any], tickers: Iterable[str], start_date: dt.date
) -> dict[str, Any]:
    """The state of `daily_open_close` in which tickers that have none yet begin at `start_date`.

    Airbyte's runtime starts a partition that it does not know at the newest date of all the others, so without this a ticker that
    is added to the list would never get the days before. Whoever changes the list has to put this in the connection's state.
    """
    states = list(state.get("states", ()))
    known = {each["partition"]["ticker"] for each in states}
    cursor = {"date": start_date.isoformat()}
    new = [
        {"partition": {"ticker": ticker}, "cursor": cursor}
        for ticker in tickers
        if ticker not in known
    ]
    return {**state, "states": states + new}
