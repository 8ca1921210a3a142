-- The rights of roles; a row of is_partial_revoke takes a part of another one away.
SELECT
    role_name,
    toString(access_type) AS privilege,
    database,
    if(is_wildcard, concat(table, '*'), table) AS table,
    access_object
FROM system.grants
WHERE role_name IN {names:Array(String)} AND NOT is_partial_revoke AND column IS NULL
