-- Stored rows of the trading day `day`, earlier versions included; quick for every day, because
-- ClickHouse answers from the parts' metadata.
SELECT count() AS versions
FROM market.stock_aggregates
WHERE toDate(start_timestamp, 'America/New_York') = {day:Date}
