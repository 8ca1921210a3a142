"""Jobs of the Airbyte server: the connector's process, its messages, and loads into Snowflake.

Add a step of a sync here; requests that start or cancel a job belong to `api`.
"""
