"""The view of cost: what the channels in force use and cost, by the estimate's figures.

Add a panel about cost here; the figures belong to `polygon_assets.costs`.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from polygon_assets.costs.estimate import COLUMNS, bill_of
from polygon_assets.costs.prices import PricesError, read_prices
from polygon_assets.costs.quantities import Quantities, quantities
from polygon_assets.page.frame import (
    CURE,
    Place,
    age_line,
    every_second,
    framed,
    html,
    table,
    when_new,
)
from polygon_assets.page.sources import Sources
from polygon_assets.settings import Settings

USAGE_COLUMNS = ("today", "so far", "by the close, at this rate", "a day, by the estimate")
GIGABYTE = 1e9
NO_CHANNELS = "No subscription CSV is in force yet: the asset s3/subscriptions puts one in force."


def cost_view(sources: Sources) -> Any:
    """The page of one visitor."""
    bill, age, used, used_age = html(), html(), html(), html()

    def channels() -> list[str]:
        rows = sources.rows("channels").value
        return rows[0]["channels"] if rows else []

    def draw_bill() -> None:
        bill.object = _bill(channels(), sources.settings) if channels() else NO_CHANNELS

    def draw_usage() -> None:
        rows = sources.rows("usage").value
        used.object = _usage(rows[0], channels(), sources.settings) if rows else ""

    def update() -> None:
        now = dt.datetime.now(dt.UTC)
        age.object = age_line(sources.rows("channels"), now, CURE)
        used_age.object = age_line(sources.rows("usage"), now, CURE)

    when_new(channels, draw_bill)
    when_new(lambda: (sources.rows("usage").at, channels()), draw_usage)
    every_second(update)
    content = [
        "## Today so far",
        used,
        used_age,
        "## What the channels in force use and cost",
        bill,
        age,
    ]
    return framed(Place("Cost", "cost"), content, sources.settings.dagster_url)


def _usage(used: Mapping[str, Any], channels: Sequence[str], settings: Settings) -> str:
    """What today has used, what that makes by the close, and what the estimate expects of a day."""
    expected = quantities(channels, settings) if channels else None
    return table("Usage of today", USAGE_COLUMNS, usage_lines(used, expected))


def usage_lines(
    used: Mapping[str, Any], expected: Quantities | None
) -> list[tuple[str, str, str, str]]:
    """Each quantity so far, by the close at this rate, and in the estimate of a day."""
    day_gb, all_gb = (used[name] / GIGABYTE for name in ("day_bytes", "all_bytes"))
    passed = used["passed"]
    projected = {
        name: f"{amount / passed:,.{digits}f}" if passed > 0 else ""
        for name, amount, digits in (
            ("events", used["events"], 0),
            ("rows", used["rows"], 0),
            ("gb", day_gb, 2),
        )
    }
    return [
        ("events read", f"{used['events']:,.0f}", projected["events"], ""),
        (
            "rows stored, with corrections until they are merged",
            f"{used['rows']:,.0f}",
            projected["rows"],
            f"{expected.rows:,}" if expected else "",
        ),
        (
            "GB in ClickHouse",
            f"{day_gb:,.2f}",
            projected["gb"],
            # Once in stock_aggregates, once in stock_versions.
            f"{2 * expected.clickhouse_gb:,.2f}" if expected else "",
        ),
        ("GB in ClickHouse of all days", f"{all_gb:,.2f}", "", ""),
        *_estimated(expected, passed),
    ]


def _estimated(expected: Quantities | None, passed: float) -> Iterator[tuple[str, str, str, str]]:
    """What nobody counts: the estimate's share of the session that has passed."""
    if expected is None:
        return
    for name, amount, digits in (
        ("REST requests", float(expected.rest_requests), 0),
        ("Snowflake credits", expected.snowflake_credits, 2),
    ):
        whole = f"{amount:,.{digits}f}"
        yield f"{name}, estimated: not counted", f"{amount * passed:,.{digits}f}", whole, whole


def _bill(channels: list[str], settings: Settings) -> str:
    try:
        prices = read_prices(settings.prices_file)
    except PricesError as error:
        return f'<span class="problem" role="alert">{escape(str(error))}</span>'
    bill = bill_of(quantities(channels, settings), prices, settings)
    listed = ", ".join(channels[:10]) + (
        f" and {len(channels) - 10:,} more" if channels[10:] else ""
    )
    return (
        f"<p>{len(channels):,} channels: {escape(listed)}</p><p>{escape(bill.sentence())}</p>"
        + table("Bill of a month", COLUMNS, bill.rows())
    )
