"""Stores definitions, actors, connections and their streams as JSON files.

Add a stored object here; jobs and their states belong to `sync`.
"""
