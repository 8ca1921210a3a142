"""Changes to the connector's state that the connector itself cannot make.

Add a change as a pure function here; fetching a state from Airbyte and storing it back belongs to
`provision`. The manifest defines what a state means.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any


def with_new_tickers(
    state: Mapping[str, Any], tickers: Iterable[str], start_date: dt.date
) -> dict[str, Any]:
    """The state of `daily_open_close`, in which each ticker without a state begins at `start_date`.

    Airbyte's runtime starts an unknown partition at the newest date of all the others, so a newly
    listed ticker would never get earlier days. Store this state whenever the list changes.
    """
    states = list(state.get("states", ()))
    known_tickers = {partition["partition"]["ticker"] for partition in states}
    cursor = {"date": start_date.isoformat()}
    new = [
        {"partition": {"ticker": ticker}, "cursor": cursor}
        for ticker in tickers
        if ticker not in known_tickers
    ]
    return {**state, "states": states + new}
