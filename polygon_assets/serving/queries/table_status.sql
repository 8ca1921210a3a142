-- Rows (every stored version) and newest time of each table. For the large tables ClickHouse
-- answers from the parts' metadata.
SELECT 'market.stock_aggregates' AS table, count() AS rows, maxOrNull(start_timestamp) AS newest
FROM market.stock_aggregates
UNION ALL
SELECT 'market.stock_versions', count(), maxOrNull(start_timestamp) FROM market.stock_versions
UNION ALL
SELECT 'market.stock_recent', count(), maxOrNull(start_timestamp) FROM market.stock_recent
UNION ALL
SELECT 'market.stock_newest', uniqExact(symbol), maxOrNull(start_timestamp) FROM market.stock_newest
UNION ALL
SELECT 'market.ohlcv_1m_by_day', count(), maxOrNull(minute) FROM market.ohlcv_1m_by_day
UNION ALL
SELECT 'market.dead_letters', count(), maxOrNull(toDateTime64(refused_at, 3, 'UTC'))
FROM market.dead_letters
