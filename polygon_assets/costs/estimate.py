"""What a set of channels costs in a month, from its quantities and the prices: a pure function.

Add a line of the bill here; quantities belong to `quantities`, prices to `prices`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from polygon_assets.costs.prices import Price
from polygon_assets.costs.quantities import TRADING_DAYS_PER_YEAR, Quantities
from polygon_assets.settings import Settings

HOURS, DAYS_OF_MONTH, DAYS = 730.0, 30.4, 21.0
"""Of a month: hours, days, trading days."""
CLICKHOUSE_UNITS = 2
"""Two replicas of the smallest size: the whole market inserts 12,000 rows in its busiest second,
where one core takes 100,000."""
MILLION = 1e6
COLUMNS = ("item", "a month", "unit", "USD each", "USD", "compared")
"""`compared`: when the price was compared with the seller's list, or never."""


@dataclass(frozen=True)
class Line:
    """One line of the bill of a month."""

    item: str
    quantity: float
    price: Price

    @property
    def usd(self) -> float:
        return self.quantity * self.price.usd


@dataclass(frozen=True)
class Bill:
    """What a set of channels uses in a day and costs in a month."""

    quantities: Quantities
    lines: tuple[Line, ...]

    @property
    def usd_per_month(self) -> float:
        """After a year of storing, when the kept versions are complete."""
        return sum(line.usd for line in self.lines)

    @property
    def dates(self) -> str:
        """How old the prices are."""
        compared = [line.price.as_of for line in self.lines if line.price.as_of]
        since = f"{min(compared)} or later" if compared else ""
        if len(compared) == len(self.lines):
            return f"prices of {since}"
        never = f"{len(self.lines) - len(compared)} of {len(self.lines)} were never compared"
        rest = f", the others on {since}" if since else ""
        return f"prices of which {never} with the seller's list{rest}"

    def sentence(self) -> str:
        """The estimate in one paragraph."""
        used = self.quantities
        return (
            f"About {used.events_per_second:,.0f} events/s and {used.rows:,} rows a trading day: "
            f"{used.kafka_written_gb:,.2f} GB into Kafka, {2 * used.clickhouse_gb:,.2f} GB into "
            f"ClickHouse, {used.archive_gb:,.2f} GB into the archive and "
            f"{used.rest_requests:,} REST requests a day; {self.usd_per_month:,.0f} USD a month "
            f"after a year, without the vendor's plan, at {self.dates}."
        )

    def rows(self) -> list[tuple[str, ...]]:
        """The lines of the bill as text, in the order of COLUMNS."""
        return [
            (
                line.item,
                f"{line.quantity:,.2f}",
                line.price.unit,
                f"{line.price.usd:g}",
                f"{line.usd:,.2f}",
                str(line.price.as_of or "never"),
            )
            for line in self.lines
        ]

    def markdown(self) -> str:
        """The bill as a table in Markdown."""
        head = [COLUMNS, ("---",) * len(COLUMNS)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in [*head, *self.rows()])


def bill_of(used: Quantities, prices: Mapping[str, Price], settings: Settings) -> Bill:
    """The bill of a set of channels; the vendor's plan is not in it."""
    # Of the versions that are kept for ever (0), those of the first year.
    kept_days = min(settings.stock_versions_days or 365, 365) * TRADING_DAYS_PER_YEAR / 365
    amounts = {
        "kafka_hour": HOURS,
        "kafka_written": used.kafka_written_gb * DAYS,
        "kafka_read": used.kafka_read_gb * DAYS,
        "kafka_stored": used.kafka_stored_gb,
        "clickhouse_unit": CLICKHOUSE_UNITS * HOURS,
        "clickhouse_stored": used.clickhouse_gb * (TRADING_DAYS_PER_YEAR + kept_days),
        "s3_stored": used.archive_gb * TRADING_DAYS_PER_YEAR,
        "s3_put": used.archive_objects * DAYS / 1000,
        "snowflake_credit": used.snowflake_credits * DAYS,
        "airbyte_rows": used.airbyte_rows * DAYS / MILLION,
        "fargate_vcpu": used.stream.vcpu * DAYS + used.dagster.vcpu * DAYS_OF_MONTH,
        "fargate_gb": used.stream.gb * DAYS + used.dagster.gb * DAYS_OF_MONTH,
    }
    return Bill(used, tuple(Line(item, amount, prices[item]) for item, amount in amounts.items()))
