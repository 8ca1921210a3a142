"""The columns of a per-second aggregate, declared once: name, types, unit, meaning, vendor key.

Add a column here when the vendor adds a field; the messages, the Arrow schema, the table and the
assets' pages are derived from this list or tested against it. Which values are valid belongs to
`events.validation`.
"""

from dataclasses import dataclass
from typing import Literal

JsonType = Literal["string", "number", "integer", "boolean"]


@dataclass(frozen=True)
class AggregateColumn:
    """One column of `market.stock_aggregates`, and its field in each message."""

    name: str
    """In the table, and in FILTERED_TOPIC."""
    table_type: str
    """ClickHouse's."""
    json_type: JsonType
    """In FILTERED_TOPIC."""
    meaning: str
    json_unit: str = ""
    """What a message counts, where that is not the column's own unit."""
    raw_name: str = ""
    """In RAW_TOPIC, where it is another name."""
    vendor_key: str = ""
    """In the vendor's event; empty for what we add."""
    decimal_key: str = ""
    """The vendor's key of the exact decimal, which is sent where fractional shares traded."""

    @property
    def raw(self) -> str:
        return self.raw_name or self.name

    @property
    def message_meaning(self) -> str:
        """The meaning in a message, with what it counts."""
        return f"{self.meaning}; {self.json_unit}" if self.json_unit else self.meaning


_SYMBOL, _PRICE = "LowCardinality(String)", "Float64"
_MAYBE_PRICE, _SHARES = "Nullable(Float64)", "Decimal(18, 6)"
_MS, _US, _DECIMAL = "Unix milliseconds", "Unix microseconds", "decimal text, at most 6 digits"

AGGREGATE_COLUMNS = (
    AggregateColumn("symbol", _SYMBOL, "string", "ticker", vendor_key="sym"),
    AggregateColumn(
        "start_timestamp",
        "DateTime64(3, 'UTC')",
        "integer",
        "start of the second, included",
        _MS,
        vendor_key="s",
    ),
    AggregateColumn(
        "end_timestamp",
        "DateTime64(3, 'UTC')",
        "integer",
        "end of the second, excluded",
        _MS,
        vendor_key="e",
    ),
    AggregateColumn("open", _PRICE, "number", "US dollars", raw_name="open_price", vendor_key="o"),
    AggregateColumn("high", _PRICE, "number", "US dollars", vendor_key="h"),
    AggregateColumn("low", _PRICE, "number", "US dollars", vendor_key="l"),
    AggregateColumn(
        "close", _PRICE, "number", "US dollars", raw_name="close_price", vendor_key="c"
    ),
    AggregateColumn(
        "volume",
        _SHARES,
        "string",
        "shares traded in the second",
        _DECIMAL,
        vendor_key="v",
        decimal_key="dv",
    ),
    AggregateColumn(
        "vwap",
        _MAYBE_PRICE,
        "number",
        "US dollars, volume-weighted, of the second",
        vendor_key="vw",
    ),
    AggregateColumn(
        "accumulated_volume",
        f"Nullable({_SHARES})",
        "string",
        "shares since the day began",
        _DECIMAL,
        vendor_key="av",
        decimal_key="dav",
    ),
    AggregateColumn("official_open_price", _MAYBE_PRICE, "number", "US dollars", vendor_key="op"),
    AggregateColumn(
        "aggregate_vwap",
        _MAYBE_PRICE,
        "number",
        "US dollars, volume-weighted, since the day began",
        vendor_key="a",
    ),
    AggregateColumn("average_size", _MAYBE_PRICE, "number", "shares per trade", vendor_key="z"),
    AggregateColumn("otc", "Bool", "boolean", "traded over the counter", vendor_key="otc"),
    AggregateColumn(
        "received_at",
        "DateTime64(6, 'UTC')",
        "integer",
        "when this version was first ours; the newest wins",
        _US,
    ),
    AggregateColumn("source", _SYMBOL, "string", "websocket or rest"),
)
"""The stored columns, in the table's order."""

EVENT_TYPE_KEY = "ev"
VENDOR_KEYS = {
    "event_type": EVENT_TYPE_KEY,
    **{column.raw: column.vendor_key for column in AGGREGATE_COLUMNS if column.vendor_key},
    **{
        f"decimal_{column.raw}": column.decimal_key
        for column in AGGREGATE_COLUMNS
        if column.decimal_key
    },
}
"""The vendor's key of each field of RAW_TOPIC that the vendor sends."""
