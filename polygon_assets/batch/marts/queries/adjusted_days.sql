-- Every trading day of a ticker in the newest day's shares.
SELECT
    ticker,
    trading_day,
    price_factor,
    open,
    high,
    low,
    close,
    vwap,
    volume
FROM MARTS.DAILY_PRICES_ADJUSTED
WHERE ticker = %(ticker)s
ORDER BY trading_day
