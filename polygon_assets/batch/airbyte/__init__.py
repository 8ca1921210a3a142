"""The Airbyte connector: its manifest, its streams as data, its state, and the workspace it runs in.

Add a stream to `source_polygon/manifest.yaml`; how its records get into Snowflake belongs to `batch.raw`.
"""
