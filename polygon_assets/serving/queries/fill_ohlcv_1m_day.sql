-- Computes and stores the one-minute bars of the trading day `day`; a repetition replaces them.
INSERT INTO market.ohlcv_1m_by_day
SELECT
    {day:Date} AS trading_day,
    symbol, minute, open, high, low, close, volume, vwap, seconds,
    now64(6) AS filled_at
FROM market.ohlcv_1m(
    -- toTimeZone: ClickHouse passes a view's argument as text, which the view reads as UTC.
    from_ts = toTimeZone(toDateTime64({day:Date}, 3, 'America/New_York'), 'UTC'),
    to_ts = toTimeZone(toDateTime64({day:Date} + 1, 3, 'America/New_York'), 'UTC')
)
