"""Airbyte on this machine: its API, in front of syncs that really run the connector and load Snowflake."""
