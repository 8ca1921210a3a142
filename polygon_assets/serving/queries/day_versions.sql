-- Stored rows of the trading day `day`, earlier versions included: answered from the parts' metadata, however long the day is.
SELECT count() AS versions
FROM market.stock_aggregates
WHERE toDate(start_timestamp, 'America/New_York') = {day:Date}
