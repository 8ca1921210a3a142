-- Every split that was executed or is announced, one row each: Airbyte's overwriting loads keep what a page repeats.
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
QUALIFY ROW_NUMBER() OVER (PARTITION BY s.id ORDER BY s._airbyte_extracted_at DESC) = 1
