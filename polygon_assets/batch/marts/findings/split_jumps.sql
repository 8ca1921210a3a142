-- The price change over each split, before and after the adjustment: from the last bar before the
-- split to the first bar after it.
WITH events AS (
    SELECT ticker, execution_date, EXP(SUM(LN(price_factor))) AS price_factor
    FROM MARTS.DIM_STOCK_SPLIT
    WHERE status IN ('applied', 'decided') AND execution_date >= %(since)s
    GROUP BY ticker, execution_date
),
neighbours AS (
    SELECT
        e.ticker,
        e.execution_date,
        e.price_factor,
        MAX(CASE WHEN p.trading_day < e.execution_date THEN p.trading_day END) AS last_day,
        MIN(CASE WHEN p.trading_day >= e.execution_date THEN p.trading_day END) AS first_day
    FROM events AS e
    INNER JOIN MARTS.DAILY_PRICES_ADJUSTED AS p ON p.ticker = e.ticker
    GROUP BY e.ticker, e.execution_date, e.price_factor
)
SELECT
    n.ticker,
    n.execution_date,
    n.price_factor,
    NULLIF(first_adjusted.open, 0) / NULLIF(last_adjusted.close, 0) - 1 AS adjusted_jump,
    NULLIF(first_bar.open, 0) / NULLIF(last_bar.close, 0) - 1 AS unadjusted_jump
FROM neighbours AS n
INNER JOIN MARTS.DAILY_PRICES_ADJUSTED AS last_adjusted
    ON last_adjusted.ticker = n.ticker AND last_adjusted.trading_day = n.last_day
INNER JOIN MARTS.DAILY_PRICES_ADJUSTED AS first_adjusted
    ON first_adjusted.ticker = n.ticker AND first_adjusted.trading_day = n.first_day
INNER JOIN MARTS.FACT_DAILY_TRADING AS last_bar
    ON last_bar.ticker = n.ticker AND last_bar.trading_day = n.last_day
INNER JOIN MARTS.FACT_DAILY_TRADING AS first_bar
    ON first_bar.ticker = n.ticker AND first_bar.trading_day = n.first_day
-- After a pause of more than ten days the change has other causes than the split.
WHERE DATEDIFF(day, n.last_day, n.first_day) <= 10
ORDER BY n.execution_date DESC, n.ticker
