"""ClickHouse's users, roles, rights, settings profiles and quotas: declared, compared, applied."""
