-- Merges the newest staged row of each key into the table, unless the stored row is newer.
MERGE INTO $table AS stored
USING (
    SELECT $values
    FROM $staged
    QUALIFY ROW_NUMBER() OVER (PARTITION BY $key ORDER BY $newest_first) = 1
) AS loaded
ON $same_key
WHEN MATCHED AND $not_older THEN UPDATE SET $assignments
WHEN NOT MATCHED THEN INSERT ($columns) VALUES ($loaded_columns)
