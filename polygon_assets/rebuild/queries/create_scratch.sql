-- A table like `market.stock_aggregates`, which no view reads.
CREATE TABLE market.{table:Identifier} AS market.stock_aggregates
