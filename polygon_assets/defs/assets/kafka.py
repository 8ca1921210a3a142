"""The topics that carry data. The contract of their messages is `polygon_assets.messages`; producer and filter write them."""

import dagster as dg

from polygon_assets.defs.graph.descriptions import OWNERS, Column, described, table_schema
from polygon_assets.defs.graph.keys import DEAD_LETTERS, FILTERED, RAW, SUBSCRIPTIONS, WEBSOCKET

RAW_COLUMNS: tuple[Column, ...] = (
    ("event_type", "string", "A: per-second aggregate"),
    ("symbol", "string", "ticker; also the message key"),
    ("volume", "number", "shares traded in the second, as the vendor rounds it"),
    ("decimal_volume", "string", "shares, exact, where fractional shares traded"),
    ("accumulated_volume", "number", "shares traded since the day began"),
    ("decimal_accumulated_volume", "string", "shares, exact, where fractional shares traded"),
    ("official_open_price", "number", "US dollars"),
    ("vwap", "number", "US dollars, volume-weighted, of the second"),
    ("open_price", "number", "US dollars"),
    ("close_price", "number", "US dollars"),
    ("high", "number", "US dollars"),
    ("low", "number", "US dollars"),
    ("aggregate_vwap", "number", "US dollars, volume-weighted, since the day began"),
    ("average_size", "number", "shares per trade"),
    ("start_timestamp", "integer", "Unix milliseconds, included"),
    ("end_timestamp", "integer", "Unix milliseconds, excluded"),
    ("otc", "boolean", "traded over the counter"),
    ("received_at", "integer", "Unix microseconds: when this version was first ours"),
    ("source", "string", "websocket or rest"),
)
FILTERED_COLUMNS: tuple[Column, ...] = (
    ("symbol", "string", "ticker; also the message key"),
    ("start_timestamp", "integer", "Unix milliseconds, included"),
    ("end_timestamp", "integer", "Unix milliseconds, excluded"),
    ("readable_timestamp", "string", "start in UTC, yyyy-MM-ddTHH:mm:ss.SSSZ"),
    ("open", "number", "US dollars"),
    ("high", "number", "US dollars"),
    ("low", "number", "US dollars"),
    ("close", "number", "US dollars"),
    ("volume", "string", "shares, decimal with at most 6 digits after the point"),
    ("vwap", "number", "US dollars, volume-weighted, of the second"),
    ("accumulated_volume", "string", "shares since the day began, decimal"),
    ("official_open_price", "number", "US dollars"),
    ("aggregate_vwap", "number", "US dollars, volume-weighted, since the day began"),
    ("average_size", "number", "shares per trade"),
    ("otc", "boolean", "traded over the counter"),
    ("received_at", "integer", "Unix microseconds: when this version was first ours"),
    ("source", "string", "websocket or rest"),
)
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
        "Every aggregate as it was received, from the live feed or from REST where a gap was filled: the one source of all that follows.",
        grain="one message per symbol, second and version, keyed by symbol; a repeated second is a correction.",
        lateness="milliseconds after the feed.",
        wrong="nothing is repaired here: a wrong second is sent again with a newer `received_at`. Growing lag means that the filter is "
        "down or too slow: see `run_filter`.",
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
        "Valid aggregates of subscribed symbols, each exactly one row of `clickhouse/stock_aggregates`, so that any ClickHouse sink "
        "can load it.",
        grain="one message per symbol, second and version, keyed by symbol.",
        lateness="under a second after the raw topic.",
        wrong="compare with the raw topic; what is missing is either not subscribed or in `kafka/polygon_dead_letters` with the reason. "
        "Growing lag means that the sink is down or ClickHouse refuses: see `run_sink`.",
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
        "What a program refused: where it stood, at which stage, why, and the bytes themselves, so that it can be replayed.",
        grain="one message per refused frame, event or row.",
        lateness="immediate; an empty topic is the normal state.",
        wrong="read the reasons. A new field or unit of the vendor shows here first: correct the code, then replay the bytes.",
    ),
)

SPECS = (STREAM_AGGREGATES, FILTERED_STOCK_DATA, POLYGON_DEAD_LETTERS)
