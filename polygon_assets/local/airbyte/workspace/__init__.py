"""What the Airbyte server keeps: definitions, actors, connections and their streams, as JSON files.

Add a kept object here; jobs and their states belong to `sync`.
"""
