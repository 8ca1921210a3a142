-- Every version of every second as it was received, in order: what was known at a moment can be
-- asked, and what the vendor changed. stock_aggregates keeps the newest version only.
-- * A replay stores a version once more, and the merge (or FINAL) keeps one: no version column,
--   because two rows of one key and one received_at are the same row.
-- * Partitions are trading days, as in stock_aggregates.
-- * No TTL here: the setting STOCK_VERSIONS_DAYS sets it (serving/version_retention.py), and an
--   applied file is never edited. Whole parts expire, so that nothing is rewritten.
CREATE TABLE IF NOT EXISTS market.stock_versions (
    symbol              LowCardinality(String),
    start_timestamp     DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    end_timestamp       DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    open                Float64 CODEC(ZSTD(1)),
    high                Float64 CODEC(ZSTD(1)),
    low                 Float64 CODEC(ZSTD(1)),
    close               Float64 CODEC(ZSTD(1)),
    volume              Decimal(18, 6) CODEC(ZSTD(1)),
    vwap                Nullable(Float64) CODEC(ZSTD(1)),
    accumulated_volume  Nullable(Decimal(18, 6)) CODEC(ZSTD(1)),
    official_open_price Nullable(Float64) CODEC(ZSTD(1)),
    aggregate_vwap      Nullable(Float64) CODEC(ZSTD(1)),
    average_size        Nullable(Float64) CODEC(ZSTD(1)),
    otc                 Bool DEFAULT false,
    received_at         DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    source              LowCardinality(String)
) ENGINE = ReplacingMergeTree
PARTITION BY toDate(start_timestamp, 'America/New_York')
ORDER BY (symbol, start_timestamp, received_at)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS market.stock_versions_mv TO market.stock_versions AS
SELECT
    symbol, start_timestamp, end_timestamp, open, high, low, close, volume, vwap,
    accumulated_volume, official_open_price, aggregate_vwap, average_size, otc, received_at, source
FROM market.stock_aggregates;

-- What came before; versions that were merged away are gone. Rows that the view takes meanwhile are
-- stored twice, like a replay. A table of more than 100 trading days is usual.
INSERT INTO market.stock_versions
SELECT
    symbol, start_timestamp, end_timestamp, open, high, low, close, volume, vwap,
    accumulated_volume, official_open_price, aggregate_vwap, average_size, otc, received_at, source
FROM market.stock_aggregates
SETTINGS max_partitions_per_insert_block = 0;

-- Each second as it was known at `as_of`: the newest version received until then. LIMIT BY keeps
-- whole rows, so that a NULL stays beside the prices of its own version (argMax skips NULL), and
-- reads in the table's order. A filter on the symbol reaches the primary key.
CREATE VIEW IF NOT EXISTS market.stock_as_known_at AS
SELECT
    symbol, start_timestamp, end_timestamp, open, high, low, close, volume, vwap,
    accumulated_volume, official_open_price, aggregate_vwap, average_size, otc, received_at, source
FROM market.stock_versions
WHERE start_timestamp >= {from_ts:DateTime64(3, 'UTC')}
  AND start_timestamp < {to_ts:DateTime64(3, 'UTC')}
  AND received_at <= {as_of:DateTime64(6, 'UTC')}
ORDER BY symbol, start_timestamp, received_at DESC
LIMIT 1 BY symbol, start_timestamp;

-- How often each second was revised, and whether it may still change at `now_ts` (market time):
-- * provisional: it may. Corrections come for 15 minutes, and a gap that overlaps these minutes and
--   is neither verified nor waived may have lost one.
-- * verified: a fill compared it with REST, key by key, after these minutes, and nothing came since.
-- * revised, final: no change is expected any more, with or without a change of values so far. That
--   nothing was missed is not proved here: the ledger gets time without a producer only while
--   Dagster runs (second_status proves coverage, and a closed day is proved as a whole).
-- `versions` counts receipts, `revisions` changes of values: the vendor sends some bars twice.
CREATE VIEW IF NOT EXISTS market.stock_finality AS
WITH
    gaps AS (
        SELECT since, until, channels, state, updated_at
        FROM market.stream_gaps FINAL
        WHERE until > {from_ts:DateTime64(3, 'UTC')}
          AND since < {to_ts:DateTime64(3, 'UTC')} + INTERVAL 16 MINUTE
    ),
    (
        SELECT groupArrayIf((since, until, channels), state NOT IN ('verified', 'waived')) FROM gaps
    ) AS unsettled,
    (
        SELECT groupArrayIf((since, until, channels, updated_at), state = 'verified') FROM gaps
    ) AS compared
SELECT
    symbol,
    start_timestamp,
    versions,
    revisions,
    first_received_at,
    last_received_at,
    multiIf(
        start_timestamp + INTERVAL 901 SECOND > {now_ts:DateTime64(3, 'UTC')}
        OR arrayExists(
            gap -> gap.1 < start_timestamp + INTERVAL 901 SECOND AND gap.2 > start_timestamp
            AND (empty(gap.3) OR hasAny(gap.3, ['A.*', concat('A.', symbol)])),
            unsettled
        ), 'provisional',
        arrayExists(
            gap -> gap.1 - INTERVAL 15 MINUTE <= start_timestamp AND gap.2 > start_timestamp
            AND gap.4 >= last_received_at
            AND (empty(gap.3) OR hasAny(gap.3, ['A.*', concat('A.', symbol)])),
            compared
        ), 'verified',
        revisions > 0, 'revised',
        'final'
    ) AS finality
FROM (
    SELECT
        symbol,
        start_timestamp,
        uniqExact(received_at) AS versions,
        uniqExact(
            (open, high, low, close, volume, vwap, accumulated_volume, official_open_price,
             aggregate_vwap, average_size, otc)
        ) - 1 AS revisions,
        min(received_at) AS first_received_at,
        max(received_at) AS last_received_at
    FROM market.stock_versions
    WHERE start_timestamp >= {from_ts:DateTime64(3, 'UTC')}
      AND start_timestamp < {to_ts:DateTime64(3, 'UTC')}
    GROUP BY symbol, start_timestamp
);
