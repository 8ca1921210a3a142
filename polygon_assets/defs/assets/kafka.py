"""The topics that carry data, as assets: what each message is, and what to do when it is wrong.

Add a topic here once `polygon_assets.messages` declares it; producer and filter write them.
"""

from collections.abc import Mapping

import dagster as dg

from polygon_assets.aggregate_columns import AGGREGATE_COLUMNS
from polygon_assets.defs.graph.descriptions import OWNERS, Column, described, table_schema
from polygon_assets.defs.graph.keys import DEAD_LETTERS, FILTERED, RAW, SUBSCRIPTIONS, WEBSOCKET
from polygon_assets.messages import FilteredAggregate, RawAggregate

_BY_RAW_NAME = {column.raw: column for column in AGGREGATE_COLUMNS}
_BY_NAME = {column.name: column for column in AGGREGATE_COLUMNS}
_ONLY_RAW: Mapping[str, tuple[str, str]] = {
    "event_type": ("string", "A: per-second aggregate"),
    "volume": ("number", "shares traded in the second, as the vendor rounds it"),
    "accumulated_volume": ("number", "shares traded since the day began"),
    "decimal_volume": ("string", "shares, exact, where fractional shares traded"),
    "decimal_accumulated_volume": ("string", "shares, exact, where fractional shares traded"),
}
"""Fields that stand in RAW_TOPIC alone, or otherwise than in FILTERED_TOPIC."""
_ONLY_FILTERED = {"readable_timestamp": ("string", "start in UTC, yyyy-MM-ddTHH:mm:ss.SSSZ")}


def _raw_column(name: str) -> Column:
    if name in _ONLY_RAW:
        return (name, *_ONLY_RAW[name])
    column = _BY_RAW_NAME[name]
    return (name, column.json_type, column.message_meaning)


def _filtered_column(name: str) -> Column:
    if name in _ONLY_FILTERED:
        return (name, *_ONLY_FILTERED[name])
    column = _BY_NAME[name]
    return (name, column.json_type, column.message_meaning)


RAW_COLUMNS = tuple(map(_raw_column, RawAggregate.__struct_fields__))
FILTERED_COLUMNS = tuple(map(_filtered_column, FilteredAggregate.__struct_fields__))
DEAD_LETTER_COLUMNS: tuple[Column, ...] = (
    ("program", "string", "producer, filter or sink"),
    ("stage", "string", "frame, event, validate or insert"),
    ("reason", "string", "why it was refused"),
    ("raw", "string", "the bytes as they came, base64"),
    ("refused_at", "integer", "Unix microseconds"),
    ("topic", "string", "where it was read, if from a topic"),
    ("partition", "integer", "of that topic"),
    ("offset", "integer", "in that partition"),
    ("epoch", "integer", "connection of the producer, Unix milliseconds at which it was opened"),
    ("part", "integer", "number of the part, from 1, where the bytes are too long for one message"),
    ("parts", "integer", "how many parts there are"),
    ("sha256", "string", "of all parts joined, hexadecimal"),
)

STREAM_AGGREGATES = dg.AssetSpec(
    RAW,
    deps=[WEBSOCKET],
    group_name="stream",
    owners=OWNERS,
    kinds={"kafka"},
    metadata={"dagster/column_schema": table_schema(RAW_COLUMNS)},
    description=described(
        "Every aggregate as it was received from the live feed: the source of all streamed tables.",
        grain="one message per symbol, second and version, keyed by symbol; a repeated second is "
        "a correction.",
        lateness="milliseconds after the feed.",
        wrong="nothing is repaired here: the vendor sends a wrong second again, with a newer "
        "`received_at`. Growing lag means that the filter is down or too slow: see `run_filter`.",
    ),
)
FILTERED_STOCK_DATA = dg.AssetSpec(
    FILTERED,
    deps=[RAW, SUBSCRIPTIONS],
    group_name="stream",
    owners=OWNERS,
    kinds={"kafka"},
    metadata={"dagster/column_schema": table_schema(FILTERED_COLUMNS)},
    description=described(
        "Valid aggregates of subscribed symbols, each exactly one row of "
        "`clickhouse/stock_aggregates`, so that any ClickHouse sink can load it.",
        grain="one message per symbol, second and version, keyed by symbol.",
        lateness="under a second after the raw topic.",
        wrong="compare with the raw topic; a missing message is either not subscribed or in "
        "`kafka/polygon_dead_letters` with the reason. Growing lag means that the sink is down or "
        "ClickHouse refuses: see `run_sink`.",
    ),
)
POLYGON_DEAD_LETTERS = dg.AssetSpec(
    DEAD_LETTERS,
    deps=[WEBSOCKET, RAW, FILTERED],
    group_name="stream",
    owners=OWNERS,
    kinds={"kafka"},
    metadata={"dagster/column_schema": table_schema(DEAD_LETTER_COLUMNS)},
    description=described(
        "What a program refused: its place, the stage, the reason, and the bytes themselves, so "
        "that it can be replayed. The sink copies it to `clickhouse/dead_letters`, which is kept "
        "longer.",
        grain="one message per refused frame, event or row; long bytes fill several.",
        lateness="immediate; an empty topic is the normal state.",
        wrong="read the reasons in `clickhouse/dead_letters`. A new field or unit of the vendor "
        "shows here first: correct the code, then launch `replay_dead_letters`.",
    ),
)

SPECS = (STREAM_AGGREGATES, FILTERED_STOCK_DATA, POLYGON_DEAD_LETTERS)
