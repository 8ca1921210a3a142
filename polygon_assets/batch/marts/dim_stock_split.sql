-- Every split that was executed or is announced, one row each.
SELECT
    s.id AS split_id,
    s.ticker,
    s.execution_date,
    s.split_from,
    s.split_to,
    CASE WHEN s.split_from > 0 AND s.split_to > 0 THEN s.split_from / s.split_to END AS price_factor,
    s.adjustment_type,
    s.historical_adjustment_factor
FROM RAW.STOCK_SPLIT AS s
