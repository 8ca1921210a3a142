-- Each table of RAW and MARTS, with the column of its newest time (NULL for a dimension).
SELECT
    table_schema,
    table_name,
    max(
        CASE WHEN column_name IN ('_AIRBYTE_EXTRACTED_AT', 'TRADING_DAY') THEN column_name END
    ) AS newest_by
FROM information_schema.columns
WHERE table_schema IN ('RAW', 'MARTS')
GROUP BY table_schema, table_name
ORDER BY table_schema, table_name
