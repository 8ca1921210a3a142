"""Jobs of the Airbyte server: the connector's process, its messages, and loads into Snowflake.

Add a step of a sync here; how a job is asked for belongs to `api`.
"""
