-- One-minute bars. Always from FINAL: a sum kept up to date on arrival counts corrections and replays twice.
CREATE VIEW IF NOT EXISTS market.ohlcv_1m AS
SELECT
    s.symbol AS symbol,
    toStartOfMinute(s.start_timestamp) AS minute,
    argMin(s.open, s.start_timestamp) AS open,
    max(s.high) AS high,
    min(s.low) AS low,
    argMax(s.close, s.start_timestamp) AS close,
    sum(s.volume) AS volume,
    sumIf(toFloat64(s.volume) * s.vwap, isNotNull(s.vwap)) / nullIf(sumIf(toFloat64(s.volume), isNotNull(s.vwap)), 0) AS vwap,
    count() AS seconds
FROM market.stock_aggregates AS s FINAL
WHERE s.start_timestamp >= {from_ts:DateTime64(3, 'UTC')} AND s.start_timestamp < {to_ts:DateTime64(3, 'UTC')}
GROUP BY symbol, minute;

-- The bars of closed trading days, filled a day at a time (queries/fill_ohlcv_1m_day.sql); the newest filling wins, so it can be repeated.
CREATE TABLE IF NOT EXISTS market.ohlcv_1m_by_day (
    trading_day Date,
    symbol      LowCardinality(String),
    minute      DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    open        Float64 CODEC(ZSTD(1)),
    high        Float64 CODEC(ZSTD(1)),
    low         Float64 CODEC(ZSTD(1)),
    close       Float64 CODEC(ZSTD(1)),
    volume      Decimal(38, 6) CODEC(ZSTD(1)),
    vwap        Nullable(Float64) CODEC(ZSTD(1)),
    seconds     UInt32 CODEC(ZSTD(1)),
    filled_at   DateTime64(6, 'UTC') CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(filled_at)
PARTITION BY trading_day
ORDER BY (symbol, minute);
