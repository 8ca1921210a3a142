"""The Airbyte connector: its manifest, its streams as data, its state and its workspace.

Add a stream to `source_polygon/manifest.yaml`; how records get into Snowflake belongs to
`batch.raw`.
"""
