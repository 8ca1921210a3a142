"""Snowflake on this machine: a fakesnow server (DuckDB behind Snowflake's protocol).

Its tables survive a crash. Add Snowflake behaviour that fakesnow lacks here; tables and queries
belong to `polygon_assets.batch`.
"""
