-- Keys of more than one row: their number, and the first of them.
SELECT COUNT(*) OVER () AS total, $key
FROM $table
GROUP BY $key
HAVING COUNT(*) > 1
ORDER BY $key
LIMIT $examples
