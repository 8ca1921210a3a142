-- A table with the columns of `market.stock_aggregates`, which no view reads. Its engine is written
-- out, because AS alone would copy a replicated engine, and with it the path of the table's replicas.
CREATE TABLE market.{table:Identifier} AS market.stock_aggregates
ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toDate(start_timestamp, 'America/New_York')
ORDER BY (symbol, start_timestamp)
