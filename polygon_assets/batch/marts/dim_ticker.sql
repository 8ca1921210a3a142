-- Every current or former ticker, one row each. A ticker may be in two markets, be listed again, or
-- belong to another company today: active entries take precedence, then newer ones.
WITH delistings AS (
    -- When the vendor moves a listing to the delisted entries, RAW still contains its active entry.
    -- The newer of the two counts if both are the same security; another security's entry does not
    -- end a listing.
    SELECT DISTINCT listed.ticker, listed.market
    FROM RAW.TICKERS AS listed
    INNER JOIN RAW.TICKERS AS gone
        ON gone.ticker = listed.ticker
        AND gone.market = listed.market
        AND NOT gone.active
        AND gone.last_updated_utc >= listed.last_updated_utc
        AND COALESCE(
            gone.composite_figi = listed.composite_figi,
            gone.cik = listed.cik,
            gone.name = listed.name,
            FALSE
        )
    WHERE listed.active
),
current_entries AS (
    SELECT
        t.ticker,
        t.name,
        t.market,
        COALESCE(t.locale, 'us') AS locale,
        COALESCE(t.active, FALSE) AS active,
        t.type,
        t.primary_exchange,
        t.currency_name,
        t.cik,
        t.composite_figi,
        t.share_class_figi,
        t.last_updated_utc,
        t.delisted_utc
    FROM RAW.TICKERS AS t
    LEFT JOIN delistings AS d ON d.ticker = t.ticker AND d.market = t.market AND t.active
    WHERE d.ticker IS NULL
    QUALIFY ROW_NUMBER() OVER (
        PARTITION BY t.ticker
        ORDER BY
            COALESCE(t.active, FALSE) DESC,
            t.last_updated_utc DESC NULLS LAST,
            t.market DESC
    ) = 1
),
-- The vendor uses the same code for types of other asset classes and locales, and a page may repeat
-- a type.
types AS (
    SELECT code, locale, description
    FROM RAW.TICKER_TYPES_LAST_GOOD
    WHERE asset_class = 'stocks'
    QUALIFY
        ROW_NUMBER() OVER (PARTITION BY code, locale ORDER BY _airbyte_extracted_at DESC) = 1
),
-- Several facilities may share a code; a listing refers to the exchange among them.
exchanges AS (
    SELECT mic, name
    FROM MARTS.DIM_EXCHANGE
    WHERE mic IS NOT NULL
    QUALIFY ROW_NUMBER() OVER (
        PARTITION BY mic
        ORDER BY CASE WHEN type = 'exchange' THEN 0 ELSE 1 END, exchange_id
    ) = 1
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
