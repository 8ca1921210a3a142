-- Distinct keys of a table: Airbyte's overwriting loads keep records that a page repeats.
SELECT COUNT(*)
FROM (SELECT DISTINCT $key FROM $table) AS keys
