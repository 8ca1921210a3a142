-- Every bar in the newest trading day's shares: prices and volume adjusted for all splits executed
-- since. Rows of tickers with undecided splits are kept (daily_prices_adjusted_kept.sql).
WITH RECURSIVE executed AS (
    -- Splits that are only announced change nothing yet.
    SELECT
        ticker,
        execution_date,
        split_from,
        split_to,
        ROW_NUMBER() OVER (
            PARTITION BY ticker ORDER BY execution_date DESC, split_from, split_to
        ) AS place
    FROM MARTS.DIM_STOCK_SPLIT
    WHERE status IN ('applied', 'decided')
        AND execution_date <= (SELECT MAX(trading_day) FROM MARTS.FACT_DAILY_TRADING)
),
-- The product of the newest split, of the two newest, and so on. Both sides of the ratio are
-- multiplied separately and divided once at the end: whole numbers stay exact, unlike with
-- exp(sum(ln(ratio))), and a split followed by its reverse leaves a price unchanged.
products (ticker, execution_date, place, old_shares, new_shares) AS (
    SELECT ticker, execution_date, place, split_from, split_to
    FROM executed
    WHERE place = 1
    UNION ALL
    SELECT
        e.ticker,
        e.execution_date,
        e.place,
        p.old_shares * e.split_from,
        p.new_shares * e.split_to
    FROM products AS p
    INNER JOIN executed AS e ON e.ticker = p.ticker AND e.place = p.place + 1
),
-- Each product applies to the days before its oldest split, back to the next older split. Between
-- two splits of the same day there is no day.
factors AS (
    SELECT
        ticker,
        old_shares,
        new_shares,
        execution_date AS until_day,
        LEAD(execution_date) OVER (PARTITION BY ticker ORDER BY place) AS from_day
    FROM products
)
SELECT
    d.ticker,
    d.trading_day,
    COALESCE(f.old_shares / f.new_shares, 1) AS price_factor,
    COALESCE(d.open * f.old_shares / f.new_shares, d.open) AS open,
    COALESCE(d.high * f.old_shares / f.new_shares, d.high) AS high,
    COALESCE(d.low * f.old_shares / f.new_shares, d.low) AS low,
    COALESCE(d.close * f.old_shares / f.new_shares, d.close) AS close,
    COALESCE(d.vwap * f.old_shares / f.new_shares, d.vwap) AS vwap,
    COALESCE((d.volume * f.new_shares / f.old_shares)::NUMBER(28, 6), d.volume) AS volume
FROM MARTS.FACT_DAILY_TRADING AS d
LEFT JOIN factors AS f
    ON f.ticker = d.ticker
    AND d.trading_day < f.until_day
    AND (f.from_day IS NULL OR d.trading_day >= f.from_day)
