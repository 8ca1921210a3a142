"""Airbyte on this machine: its API, and syncs that run the real connector and load Snowflake.

Add server behaviour here; the connector's manifest and its provisioning belong to
`polygon_assets.batch.airbyte`.
"""
