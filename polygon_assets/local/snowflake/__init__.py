"""Snowflake on this machine: fakesnow (DuckDB behind Snowflake's protocol) as a server with tables that survive a crash."""
