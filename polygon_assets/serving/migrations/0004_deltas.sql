-- Price changes over 10 seconds, computed when read: a late row changes the deltas of rows already there, so nothing stored at arrival can be
-- right (a materialized view was wrong in 7,795 of 7,846 rows).

-- Each second's close against the last close at or before 10 s earlier and not older than 60 s; NULL where there is none. The inner window
-- reaches 70 s further back so that the first rows asked for have their past too.
CREATE VIEW IF NOT EXISTS market.stock_delta_10s AS
SELECT
    symbol,
    start_timestamp,
    close,
    volume,
    -- toNullable: without it a missing past is 0.0, and every first price a jump to infinity.
    last_value(toNullable(close)) OVER past AS price_10s_ago,
    close - price_10s_ago AS delta_price_10s,
    100 * delta_price_10s / nullIf(price_10s_ago, 0) AS percentage_change_10s
FROM (
    SELECT symbol, start_timestamp, close, volume
    FROM market.stock_aggregates FINAL
    WHERE start_timestamp >= {from_ts:DateTime64(3, 'UTC')} - INTERVAL 70 SECOND
      AND start_timestamp < {to_ts:DateTime64(3, 'UTC')}
)
WINDOW past AS (
    PARTITION BY symbol ORDER BY toUnixTimestamp64Milli(start_timestamp)
    RANGE BETWEEN 60000 PRECEDING AND 10000 PRECEDING
)
QUALIFY start_timestamp >= {from_ts:DateTime64(3, 'UTC')};

-- The same for every symbol's last second at `now_ts`: one row a symbol traded in the last 70 s.
CREATE VIEW IF NOT EXISTS market.top_movers_10s AS
SELECT
    symbol,
    max(r.start_timestamp) AS last_timestamp,
    argMax(r.close, r.start_timestamp) AS last_price,
    argMaxIf(toNullable(r.close), r.start_timestamp, r.start_timestamp <= {now_ts:DateTime64(3, 'UTC')} - INTERVAL 10 SECOND) AS price_10s_ago,
    last_price - price_10s_ago AS delta_price_10s,
    100 * delta_price_10s / nullIf(price_10s_ago, 0) AS percentage_change_10s,
    sum(r.volume) AS volume_70s
FROM market.stock_recent AS r FINAL
WHERE r.start_timestamp > {now_ts:DateTime64(3, 'UTC')} - INTERVAL 70 SECOND
  AND r.start_timestamp <= {now_ts:DateTime64(3, 'UTC')}
GROUP BY symbol;
