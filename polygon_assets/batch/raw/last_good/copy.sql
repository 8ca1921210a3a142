-- What the source holds now, in place of what the target held.
CREATE OR REPLACE TABLE $target AS
SELECT * FROM $source
