-- The group of each privilege: who has the group has the privilege.
SELECT toString(privilege) AS privilege, toString(parent_group) AS parent_group
FROM system.privileges
WHERE parent_group IS NOT NULL
