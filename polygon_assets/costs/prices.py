"""Reads the prices of the services that production uses, from a CSV.

Add a check of the file here; which quantity an item is multiplied with belongs to `estimate`.
"""

import csv
import datetime as dt
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from polygon_assets.errors import PolygonAssetsError

COLUMNS = ("item", "unit", "usd", "as_of", "source")
ITEMS = frozenset(
    {
        "kafka_hour",
        "kafka_written",
        "kafka_read",
        "kafka_stored",
        "clickhouse_unit",
        "clickhouse_stored",
        "s3_stored",
        "s3_put",
        "snowflake_credit",
        "airbyte_rows",
        "fargate_vcpu",
        "fargate_gb",
    }
)


class PricesError(PolygonAssetsError):
    """The file of prices cannot be used; the message names the line and the cure."""


@dataclass(frozen=True)
class Price:
    """What one unit of an item costs."""

    item: str
    unit: str
    usd: float
    as_of: dt.date | None
    """When somebody last compared the price with the seller's list; None if nobody ever has."""
    source: str


def read_prices(file: str = "") -> dict[str, Price]:
    """The prices by item, from `file`; from the project's list prices if it is empty.

    Raises PricesError.
    """
    packaged = resources.files("polygon_assets.costs") / "prices.csv"
    try:
        text = Path(file).read_text() if file else packaged.read_text()
        rows = list(csv.DictReader(text.splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PricesError(f"PRICES_FILE={file}: {error}") from error
    prices: dict[str, Price] = {}
    for number, row in enumerate(rows, 2):
        price = _price(f"{file or 'prices.csv'}, line {number}", row)
        if price.item in prices:
            raise PricesError(f"{file}, line {number}: a second price of {price.item}: leave one")
        prices[price.item] = price
    if missing := sorted(ITEMS - prices.keys()):
        raise PricesError(
            f"{file}: no price of {', '.join(missing)}; copy the lines from "
            "polygon_assets/costs/prices.csv"
        )
    return prices


def _price(place: str, row: dict[str, str]) -> Price:
    try:
        item, unit, usd, as_of, source = (row[column].strip() for column in COLUMNS)
        compared = dt.date.fromisoformat(as_of) if as_of else None
        price = Price(item, unit, float(usd), compared, source)
    except (KeyError, AttributeError, ValueError) as error:
        raise PricesError(
            f"{place}: {error!r}; write {','.join(COLUMNS)}, with a number, and with the day "
            "on which the price was compared (YYYY-MM-DD) or nothing for never"
        ) from error
    if price.item not in ITEMS:
        raise PricesError(f"{place}: item {item!r} is none of {', '.join(sorted(ITEMS))}")
    if not 0 <= price.usd < math.inf:
        raise PricesError(f"{place}: usd {usd!r} is no price: write 0 or more")
    return price
