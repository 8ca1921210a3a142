-- Keys that stand in more than one row: how many there are, and the first of them.
SELECT COUNT(*) OVER () AS total, $key
FROM $table
GROUP BY $key
HAVING COUNT(*) > 1
ORDER BY $key
LIMIT $examples
