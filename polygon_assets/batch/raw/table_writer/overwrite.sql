-- The newest of each key among the loaded rows in place of all that the table holds; readers see one or the other.
INSERT OVERWRITE INTO $table ($columns)
SELECT $values
FROM $loaded
QUALIFY ROW_NUMBER() OVER (PARTITION BY $key ORDER BY $newest_first) = 1
