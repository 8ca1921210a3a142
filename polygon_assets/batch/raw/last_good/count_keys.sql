-- Keys of a table; Airbyte's overwriting loads keep what a page repeats.
SELECT COUNT(*)
FROM (SELECT DISTINCT $key FROM $table) AS keys
