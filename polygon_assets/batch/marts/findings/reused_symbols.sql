-- Symbols of listed securities that another security had before: present and former name, the last
-- day of the former, and the day of the symbol's first bar.
WITH first_bars AS (
    SELECT ticker, MIN(trading_day) AS first_day
    FROM MARTS.FACT_DAILY_TRADING
    GROUP BY ticker
)
SELECT
    t.ticker,
    t.name,
    former.name AS former_name,
    former.delisted_utc::DATE AS delisted_day,
    b.first_day
FROM MARTS.DIM_TICKER AS t
INNER JOIN RAW.TICKERS AS former
    ON former.ticker = t.ticker
    AND NOT former.active
    AND NOT COALESCE(
        former.composite_figi = t.composite_figi, former.cik = t.cik, former.name = t.name, FALSE
    )
LEFT JOIN first_bars AS b ON b.ticker = t.ticker
WHERE t.active
ORDER BY t.ticker, former.delisted_utc
