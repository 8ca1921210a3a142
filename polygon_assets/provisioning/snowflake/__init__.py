"""Snowflake's database, warehouse, roles, rights and service users: declared, compared, applied."""
