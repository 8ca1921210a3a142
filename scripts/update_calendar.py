"""Rewrite polygon_assets/nyse_exceptions.csv from pandas_market_calendars.

The file covers 2003 to ten years after the last edit of LAST.
"""

import csv
from pathlib import Path

import pandas as pd
import pandas_market_calendars

TARGET = Path(__file__).parent.parent / "polygon_assets" / "nyse_exceptions.csv"
FIRST, LAST = "2003-01-01", "2036-12-31"
REGULAR = ("04:00", "09:30", "16:00", "20:00")


def exceptions() -> list[tuple[str, ...]]:
    """Rows of date, extended_open, regular_open, regular_close, extended_close.

    The times are empty if the market stays closed.
    """
    calendar = pandas_market_calendars.get_calendar("NYSE")
    schedule = calendar.schedule(FIRST, LAST, start="pre", end="post", tz="America/New_York")
    times = {
        day.strftime("%Y-%m-%d"): tuple(moment.strftime("%H:%M") for moment in row)
        for day, row in zip(
            schedule.index,
            schedule[["pre", "market_open", "market_close", "post"]].itertuples(index=False),
            strict=True,
        )
    }
    weekdays = [day.strftime("%Y-%m-%d") for day in pd.bdate_range(FIRST, LAST)]
    return [
        (day, *times.get(day, ("", "", "", ""))) for day in weekdays if times.get(day) != REGULAR
    ]


def main() -> None:
    with TARGET.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ("date", "extended_open", "regular_open", "regular_close", "extended_close")
        )
        writer.writerows(exceptions())


if __name__ == "__main__":
    main()
