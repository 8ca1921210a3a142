"""What a set of channels uses in production on a trading day, in events, bytes, calls and hours.

Add a quantity here, with how it was measured; what it costs belongs to `estimate`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from polygon_assets.messages import PROGRAMS
from polygon_assets.service_sizes import DAGSTER_SIZES, PAGE_SIZE, Size, stream_sizes
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import WHOLE_MARKET_SYMBOLS, WILDCARD
from polygon_assets.topics import FILTERED_TOPIC, TOPICS

GB = 1e9
REGULAR_SECONDS = 6.5 * 3600
EXTENDED_SECONDS = 16 * 3600
NAMED_SYMBOL_RATE = 1.0
"""Events per second of a named symbol: an upper bound, as each symbol has one bar a second at most.

Symbols that somebody names trade in nearly every second of regular hours.
"""
WHOLE_MARKET_RATE = 1_000.0
"""Events per second of A.*: the vendor's published mean."""
RAW_BYTES, FILTERED_BYTES = 200, 220
"""A message on Kafka, compressed with lz4 in batches of three, as six partitions have them at 1,000
events a second (measured: 192 and 215; in batches of twenty 94 and 98, but the key and the record's
head come on top)."""
STORED_BYTES = 30
"""A row in ClickHouse (measured: 16 to 30); `stock_versions` needs as much again."""
ARCHIVED_BYTES = 45
"""An event in the archive's objects: JSON lines with zstd (measured)."""
READERS_OF_RAW = 2
"""Filter and archiver; the filtered topic has one reader, the sink."""
SAMPLES_PER_HOUR = 12 * 6
"""The comparison with REST asks for six symbols every five minutes."""
REFERENCE_REQUESTS = 60
"""Pages of tickers and splits, and the day's grouped bars."""
WAREHOUSE_HOURS = 0.5
"""An X-Small warehouse, which suspends itself after a minute: loads, marts, checks and the
reconciliation of a day."""
TRADING_DAYS_PER_YEAR = 252
HOURS_PER_DAY = 24
STREAM_HOURS = EXTENDED_SECONDS / 3600 + 0.85
"""From before the open until the last correction is drained: see `service_hours`."""


@dataclass(frozen=True)
class TaskHours:
    """What Fargate charges for."""

    vcpu: float
    gb: float


@dataclass(frozen=True)
class Quantities:
    """Per trading day, unless named otherwise."""

    events_per_second: float
    rows: int
    kafka_written_gb: float
    kafka_read_gb: float
    kafka_stored_gb: float
    """At any time, while the retention lasts."""
    clickhouse_gb: float
    """Added to `stock_aggregates`, which are kept for ever; as much to `stock_versions`."""
    archive_gb: float
    archive_objects: int
    rest_requests: int
    """Without the history of a new symbol and without filled gaps."""
    snowflake_credits: float
    airbyte_rows: int
    stream: TaskHours
    """Of the stream programs, and of the runs that supervise them, on a trading day."""
    dagster: TaskHours
    """Of Dagster and the page, on every day."""


def quantities(channels: Collection[str], settings: Settings) -> Quantities:
    """What the channels need; `A.*` stands for the whole market."""
    rate, rows = expected_rate(channels)
    symbols = WHOLE_MARKET_SYMBOLS if WILDCARD in channels else len(channels)
    written = rows * (RAW_BYTES + FILTERED_BYTES) / GB
    return Quantities(
        rate,
        rows,
        written,
        rows * (READERS_OF_RAW * RAW_BYTES + FILTERED_BYTES) / GB,
        written * _trading_days(FILTERED_TOPIC),
        rows * STORED_BYTES / GB,
        rows * ARCHIVED_BYTES / GB,
        min(
            rows, round(settings.kafka_partitions * EXTENDED_SECONDS / settings.archive_max_seconds)
        ),
        REFERENCE_REQUESTS + symbols + round(SAMPLES_PER_HOUR * EXTENDED_SECONDS / 3600),
        WAREHOUSE_HOURS,
        WHOLE_MARKET_SYMBOLS + symbols,
        _task_hours(
            [
                *(
                    size
                    for program, size in stream_sizes(settings).items()
                    for _ in range(settings.copies(program))
                ),
                # Each program has a run of its own, which is a task too.
                *[DAGSTER_SIZES["runs"]] * len(PROGRAMS),
            ],
            STREAM_HOURS,
        ),
        _task_hours([*DAGSTER_SIZES.values(), PAGE_SIZE], HOURS_PER_DAY),
    )


def expected_rate(channels: Collection[str]) -> tuple[float, int]:
    """Events per second and rows per day: an upper bound for names, the mean for `A.*`."""
    if WILDCARD in channels:
        return WHOLE_MARKET_RATE, round(WHOLE_MARKET_RATE * EXTENDED_SECONDS)
    rate = NAMED_SYMBOL_RATE * len(channels)
    return rate, round(rate * REGULAR_SECONDS)


def _trading_days(topic_name: str) -> float:
    """The trading days that a topic keeps, of each seven days five."""
    topic = next(topic for topic in TOPICS if topic.name == topic_name)
    assert topic.retention_days is not None
    return topic.retention_days * 5 / 7


def _task_hours(sizes: Iterable[Size], hours: float) -> TaskHours:
    sizes = list(sizes)
    return TaskHours(
        sum(size.vcpu for size in sizes) * hours, sum(size.gb for size in sizes) * hours
    )
