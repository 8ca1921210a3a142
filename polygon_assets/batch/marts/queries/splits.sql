-- The splits of a ticker, announced ones included.
SELECT
    execution_date,
    split_from,
    split_to,
    status
FROM MARTS.DIM_STOCK_SPLIT
WHERE ticker = %(ticker)s
ORDER BY execution_date, split_from, split_to
