-- Every ticker there is or was, one row each: where it stands in two markets, or was listed again, what is active and then newest wins.
WITH current_entries AS (
    SELECT
        ticker,
        name,
        market,
        COALESCE(locale, 'us') AS locale,
        COALESCE(active, FALSE) AS active,
        type,
        primary_exchange,
        currency_name,
        cik,
        composite_figi,
        share_class_figi,
        last_updated_utc,
        delisted_utc
    FROM RAW.TICKERS
    QUALIFY ROW_NUMBER() OVER (PARTITION BY ticker ORDER BY COALESCE(active, FALSE) DESC, last_updated_utc DESC NULLS LAST, market DESC) = 1
),
-- The vendor gives the same code to types of other asset classes and locales, and a page may repeat one.
types AS (
    SELECT code, locale, description
    FROM RAW.TICKER_TYPES
    WHERE asset_class = 'stocks'
    QUALIFY ROW_NUMBER() OVER (PARTITION BY code, locale ORDER BY _airbyte_extracted_at DESC) = 1
),
-- Several facilities may share a code; a listing means the exchange.
exchanges AS (
    SELECT mic, name
    FROM MARTS.DIM_EXCHANGE
    WHERE mic IS NOT NULL
    QUALIFY ROW_NUMBER() OVER (PARTITION BY mic ORDER BY CASE WHEN type = 'exchange' THEN 0 ELSE 1 END, exchange_id) = 1
)
SELECT
    t.ticker,
    t.name,
    t.market,
    t.locale,
    t.active,
    t.type,
    y.description AS type_description,
    t.primary_exchange,
    e.name AS exchange_name,
    t.currency_name,
    t.cik,
    t.composite_figi,
    t.share_class_figi,
    t.last_updated_utc,
    t.delisted_utc
FROM current_entries AS t
LEFT JOIN types AS y ON y.code = t.type AND y.locale = t.locale
LEFT JOIN exchanges AS e ON e.mic = t.primary_exchange
