-- Replaces the target by a copy of the source.
CREATE OR REPLACE TABLE $target AS
SELECT * FROM $source
