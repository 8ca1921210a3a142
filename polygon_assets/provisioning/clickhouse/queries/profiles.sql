-- Settings profiles by name: where each is stored, and its settings with their greatest values.
SELECT p.name AS name, p.storage AS storage, e.setting_name, e.value, e.max
FROM system.settings_profiles AS p
LEFT JOIN system.settings_profile_elements AS e ON e.profile_name = p.name
WHERE p.name IN {names:Array(String)}
ORDER BY p.name, e.index
