-- Roles by name: where each is stored, and the settings profiles that it gives.
SELECT
    r.name AS name,
    r.storage AS storage,
    groupArrayIf(assumeNotNull(e.inherit_profile), isNotNull(e.inherit_profile)) AS profiles
FROM system.roles AS r
LEFT JOIN system.settings_profile_elements AS e ON e.role_name = r.name
WHERE r.name IN {names:Array(String)}
GROUP BY r.name, r.storage
