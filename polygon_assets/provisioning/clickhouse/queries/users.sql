-- Users by name: where each is stored, and the roles that are in force after a login.
SELECT
    u.name AS name,
    u.storage AS storage,
    groupArrayIf(g.granted_role_name, g.granted_role_is_default) AS roles
FROM system.users AS u
LEFT JOIN system.role_grants AS g ON g.user_name = u.name
WHERE u.name IN {names:Array(String)}
GROUP BY u.name, u.storage
