-- The newest row of a symbol as one state. One state per column mixed rows: argMax skips NULL, so that
-- the accumulated volume of yesterday stood beside the close of today where today's was missing.
ALTER TABLE market.stock_last ADD COLUMN IF NOT EXISTS newest AggregateFunction(
    argMax,
    Tuple(close Float64, volume Decimal(18, 6), accumulated_volume Nullable(Decimal(18, 6))),
    Tuple(DateTime64(3, 'UTC'), DateTime64(6, 'UTC'))
);

ALTER TABLE market.stock_last_mv MODIFY QUERY
SELECT
    a.symbol AS symbol,
    max(a.start_timestamp) AS last_timestamp,
    argMaxState(
        CAST(
            (a.close, a.volume, a.accumulated_volume),
            'Tuple(close Float64, volume Decimal(18, 6), accumulated_volume Nullable(Decimal(18, 6)))'
        ),
        (a.start_timestamp, a.received_at)
    ) AS newest,
    max(a.received_at) AS last_received_at
FROM market.stock_aggregates AS a
GROUP BY a.symbol;

-- What came before. Rows that the view takes meanwhile are counted twice, which changes no maximum.
INSERT INTO market.stock_last (symbol, last_timestamp, newest, last_received_at)
SELECT
    a.symbol AS symbol,
    max(a.start_timestamp) AS last_timestamp,
    argMaxState(
        CAST(
            (a.close, a.volume, a.accumulated_volume),
            'Tuple(close Float64, volume Decimal(18, 6), accumulated_volume Nullable(Decimal(18, 6)))'
        ),
        (a.start_timestamp, a.received_at)
    ) AS newest,
    max(a.received_at) AS last_received_at
FROM market.stock_aggregates AS a
GROUP BY a.symbol;

ALTER TABLE market.stock_last
    DROP COLUMN IF EXISTS close,
    DROP COLUMN IF EXISTS volume,
    DROP COLUMN IF EXISTS accumulated_volume;
