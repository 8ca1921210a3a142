-- The newest of each key among the loaded rows, put into the table unless the row that is there is newer.
MERGE INTO $table AS held
USING (
    SELECT $values
    FROM $loaded
    QUALIFY ROW_NUMBER() OVER (PARTITION BY $key ORDER BY $newest_first) = 1
) AS loaded
ON $same_key
WHEN MATCHED AND $not_older THEN UPDATE SET $assignments
WHEN NOT MATCHED THEN INSERT ($columns) VALUES ($loaded_columns)
