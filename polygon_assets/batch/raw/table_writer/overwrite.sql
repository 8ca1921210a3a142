-- Replaces the table's rows by the newest staged row of each key; readers see old rows or new ones.
INSERT OVERWRITE INTO $table ($columns)
SELECT $values
FROM $staged
QUALIFY ROW_NUMBER() OVER (PARTITION BY $key ORDER BY $newest_first) = 1
