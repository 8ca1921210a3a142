-- Scratch tables of rebuilds that were killed before they could drop them.
SELECT name
FROM system.tables
WHERE database = 'market' AND name LIKE 'rebuild\_%'
  AND metadata_modification_time < {before:DateTime('UTC')}
