-- One row for every ticker that is listed today: its company, latest prices, recent range and last
-- split. Prices are in today's shares.
WITH bars AS (
    SELECT
        ticker,
        trading_day,
        high,
        low,
        close,
        volume,
        LAG(close) OVER (PARTITION BY ticker ORDER BY trading_day) AS previous_close,
        ROW_NUMBER() OVER (PARTITION BY ticker ORDER BY trading_day DESC) AS age,
        DENSE_RANK() OVER (ORDER BY trading_day DESC) AS sessions_ago
    FROM MARTS.DAILY_PRICES_ADJUSTED
),
summaries AS (
    SELECT
        ticker,
        MAX(CASE WHEN age = 1 THEN trading_day END) AS last_trading_day,
        MAX(CASE WHEN age = 1 THEN close END) AS last_close,
        MAX(CASE WHEN age = 1 THEN previous_close END) AS previous_close,
        AVG(CASE WHEN sessions_ago <= 20 THEN volume END) AS average_volume_20,
        MAX(CASE WHEN sessions_ago <= 252 THEN high END) AS high_252,
        MIN(CASE WHEN sessions_ago <= 252 THEN low END) AS low_252
    FROM bars
    GROUP BY ticker
),
last_splits AS (
    SELECT ticker, execution_date, split_from, split_to
    FROM MARTS.DIM_STOCK_SPLIT
    WHERE status IN ('applied', 'decided')
        AND price_factor <> 1
        AND execution_date <= (SELECT MAX(trading_day) FROM MARTS.DAILY_PRICES_ADJUSTED)
    QUALIFY ROW_NUMBER() OVER (PARTITION BY ticker ORDER BY execution_date DESC, split_id) = 1
)
SELECT
    t.ticker,
    t.name,
    t.market,
    t.exchange_name,
    t.type_description,
    s.last_trading_day,
    s.last_close,
    s.previous_close,
    100 * (s.last_close / NULLIF(s.previous_close, 0) - 1) AS change_percent,
    s.average_volume_20,
    s.high_252,
    s.low_252,
    p.execution_date AS last_split_day,
    p.split_from AS last_split_from,
    p.split_to AS last_split_to
FROM MARTS.DIM_TICKER AS t
LEFT JOIN summaries AS s ON s.ticker = t.ticker
LEFT JOIN last_splits AS p ON p.ticker = t.ticker
WHERE t.active
