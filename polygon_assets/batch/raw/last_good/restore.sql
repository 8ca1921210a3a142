-- Replaces the synced rows by the last good ones; readers see either the old rows or the new.
INSERT OVERWRITE INTO $target ($columns)
SELECT $columns FROM $source
