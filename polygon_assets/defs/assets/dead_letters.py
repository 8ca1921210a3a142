"""The table of dead letters as an asset: what was refused in the last day, and why.

Add a column of its page here; the topic belongs to `kafka`, the replay to `defs.stream`.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

import dagster as dg

from polygon_assets.defs.graph.descriptions import OWNERS, Column, as_table, described, table_schema
from polygon_assets.defs.graph.keys import DEAD_LETTER_TABLE, DEAD_LETTERS
from polygon_assets.defs.graph.resources import Environment

DEAD_LETTER_COLUMNS: tuple[Column, ...] = (
    ("letter_id", "String", "from place and content; equal for all parts of a letter"),
    ("part", "UInt32", "number of the part, from 1; 0 where the bytes were not divided"),
    ("parts", "UInt32", "how many parts there are; 0 where the bytes were not divided"),
    ("program", "LowCardinality(String)", "producer, filter, sink; unknown: no dead letter"),
    ("stage", "LowCardinality(String)", "frame, event, validate, insert or unknown"),
    ("reason", "String", "why it was refused"),
    ("raw", "String", "the bytes as they came"),
    ("refused_at", "DateTime64(6, 'UTC')", "when it was refused"),
    ("topic", "LowCardinality(String)", "where it was read, if from a topic"),
    ("partition", "Nullable(Int32)", "of that topic"),
    ("offset", "Nullable(Int64)", "in that partition"),
    ("epoch", "Nullable(DateTime64(3, 'UTC'))", "when the producer opened the connection"),
    ("sha256", "String", "of all parts joined, hexadecimal"),
)
SHOWN_AGE = dt.timedelta(hours=24)
SAMPLE = 20


@dg.asset(
    key=DEAD_LETTER_TABLE,
    deps=[DEAD_LETTERS],
    group_name="stream",
    owners=OWNERS,
    kinds={"clickhouse", "table"},
    metadata={
        "dagster/column_schema": table_schema(DEAD_LETTER_COLUMNS),
        "dagster/table_name": "market.dead_letters",
    },
    description=described(
        "What the programs refused, kept for 400 days with all bytes. The sink loads it from "
        "`kafka/polygon_dead_letters`. The latest materialization counts the last 24 hours by "
        "reason and shows the newest letters; `polygon-assets dead-letters` lists and shows all.",
        grain="one row per refused frame, event, message or row; long bytes fill one row per "
        "part. Read it with FINAL.",
        lateness="about a second after the refusal while the sink runs; this page every five "
        "minutes while the market is open.",
        wrong="correct the code that refuses, then launch `replay_dead_letters` for the letters. "
        "`market.dead_letter_replays` records what became of each. Letters are missing while the "
        "sink is down; they stay in the topic. `losses_24h` counts how often the broker lost some "
        "before: their bytes are gone.",
    ),
)
def dead_letters(environment: Environment) -> dg.MaterializeResult[None]:
    from polygon_assets.inspection import dead_letters as display
    from polygon_assets.inspection import tables
    from polygon_assets.serving.dead_letters import Selection

    since = dt.datetime.now(dt.UTC) - SHOWN_AGE
    counts, letters = tables.refused(
        environment.settings(), Selection(since=since), display.SHOWN_REASONS, SAMPLE
    )
    return dg.MaterializeResult(
        metadata={
            "letters_24h": sum(count.letters for count in counts),
            "replayed_24h": sum(count.replayed for count in counts),
            "losses_24h": tables.dead_letter_losses(environment.settings(), since),
            "reasons_24h": _table(display.COUNT_COLUMNS, map(display.count_cells, counts)),
            "newest_letters": _table(display.LETTER_COLUMNS, map(display.letter_cells, letters)),
        }
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> dg.MarkdownMetadataValue:
    shown = list(rows)
    return dg.MetadataValue.md(as_table(columns, shown) if shown else "nothing was refused")
