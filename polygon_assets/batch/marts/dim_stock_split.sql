-- Every executed or announced split, one row each, with its treatment (STATUS). The vendor
-- publishes some splits twice, with other numbers or on another day. A person decides between
-- contradictory entries; no rule guesses.
WITH decisions AS (
    SELECT
        d.value:ticker::VARCHAR AS ticker,
        d.value:execution_date::DATE AS execution_date,
        d.value:split_from::FLOAT AS split_from,
        d.value:split_to::FLOAT AS split_to
    FROM TABLE(FLATTEN(INPUT => PARSE_JSON(%(decisions)s))) AS d
),
-- Airbyte's overwriting loads keep records that a page repeats.
listed AS (
    SELECT
        s.id AS split_id,
        s.ticker,
        s.execution_date,
        s.split_from,
        s.split_to,
        CASE
            WHEN s.split_from > 0 AND s.split_to > 0 THEN s.split_from / s.split_to
        END AS price_factor,
        s.adjustment_type,
        s.historical_adjustment_factor
    FROM RAW.STOCK_SPLIT_LAST_GOOD AS s
    QUALIFY ROW_NUMBER() OVER (PARTITION BY s.id ORDER BY s._airbyte_extracted_at DESC) = 1
),
-- Entries whose ratio was also published for another day within a week. Ratios within a thousandth
-- count as equal, because the vendor rounds: 3 to 4 is also published as 1 to 1.3333.
redated AS (
    SELECT DISTINCT a.split_id
    FROM listed AS a
    INNER JOIN listed AS b
        ON b.ticker = a.ticker
        AND b.execution_date <> a.execution_date
        AND ABS(DATEDIFF(day, a.execution_date, b.execution_date)) <= 7
        AND ABS(b.price_factor / a.price_factor - 1) < 0.001
    LEFT JOIN decisions AS d ON d.ticker = b.ticker AND d.execution_date = b.execution_date
    WHERE a.price_factor <> 1 AND d.ticker IS NULL
),
-- Entries without a day that a person has decided, by a line with their ratio and the day.
dated AS (
    SELECT DISTINCT l.split_id
    FROM listed AS l
    INNER JOIN decisions AS d ON d.ticker = l.ticker
    WHERE l.execution_date IS NULL
        AND (
            l.price_factor IS NULL
            OR ABS(d.split_from / d.split_to / l.price_factor - 1) < 0.001
        )
),
compared AS (
    SELECT
        l.*,
        d.ticker IS NOT NULL OR t.split_id IS NOT NULL AS is_decided,
        r.split_id IS NOT NULL AS is_redated,
        COUNT(l.price_factor) OVER (PARTITION BY l.ticker, l.execution_date) AS usable,
        -- 1 to 1, "no split", contradicts a split of the same day.
        MAX(l.price_factor) OVER (PARTITION BY l.ticker, l.execution_date) AS largest,
        MIN(l.price_factor) OVER (PARTITION BY l.ticker, l.execution_date) AS smallest,
        -- Entries with whole numbers come first, because fractions may be rounded.
        ROW_NUMBER() OVER (
            PARTITION BY l.ticker, l.execution_date
            ORDER BY
                CASE WHEN l.price_factor IS NULL THEN 1 ELSE 0 END,
                CASE
                    WHEN l.split_from = ROUND(l.split_from) AND l.split_to = ROUND(l.split_to)
                    THEN 0
                    ELSE 1
                END,
                l.split_id
        ) AS place
    FROM listed AS l
    LEFT JOIN decisions AS d ON d.ticker = l.ticker AND d.execution_date = l.execution_date
    LEFT JOIN redated AS r ON r.split_id = l.split_id
    LEFT JOIN dated AS t ON t.split_id = l.split_id
)
SELECT
    c.split_id,
    c.ticker,
    c.execution_date,
    c.split_from,
    c.split_to,
    c.price_factor,
    c.adjustment_type,
    c.historical_adjustment_factor,
    CASE
        WHEN c.is_decided THEN 'overruled'
        WHEN c.price_factor IS NULL AND c.usable > 0 THEN 'unusable'
        WHEN c.price_factor IS NULL THEN 'undecided'
        WHEN c.largest / c.smallest > 1.001 OR c.is_redated THEN 'undecided'
        WHEN c.price_factor = 1 THEN 'no effect'
        WHEN c.execution_date IS NULL THEN 'undecided'
        WHEN c.place = 1 THEN 'applied'
        ELSE 'repeated'
    END AS status
FROM compared AS c
UNION ALL
SELECT
    'decision ' || d.ticker || ' ' || d.execution_date::VARCHAR,
    d.ticker,
    d.execution_date,
    d.split_from,
    d.split_to,
    d.split_from / d.split_to,
    NULL,
    NULL,
    'decided'
FROM decisions AS d
