-- Bars, symbols, seconds and shares of the stored one-minute bars of the trading day `day`.
SELECT
    count() AS bars,
    uniqExact(b.symbol) AS symbols,
    sum(b.seconds) AS seconds,
    sum(b.volume) AS volume
FROM market.ohlcv_1m_by_day AS b FINAL
WHERE b.trading_day = {day:Date}
