"""The batch half: the Airbyte connector, the raw tables in Snowflake, and the SQL of the marts.

Add how batch data is fetched, loaded or computed here; when a run does it belongs to `defs.batch`.
"""
