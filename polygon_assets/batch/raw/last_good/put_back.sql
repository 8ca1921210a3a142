-- The last good rows in place of what the sync left; readers see one or the other.
INSERT OVERWRITE INTO $target ($columns)
SELECT $columns FROM $source
