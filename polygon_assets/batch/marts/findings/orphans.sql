-- Values that the other table does not contain: their number, and the first of them.
SELECT COUNT(*) OVER () AS total, referring.$column
FROM $table AS referring
LEFT JOIN $other AS referred ON referred.$other_column = referring.$column
WHERE $rows AND referring.$column IS NOT NULL AND referred.$other_column IS NULL
GROUP BY referring.$column
ORDER BY referring.$column
LIMIT $examples
