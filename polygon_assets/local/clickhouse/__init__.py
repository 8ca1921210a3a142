"""ClickHouse for one machine: the real engine (chDB) behind ClickHouse's own HTTP interface.

chDB lets only one process open a data directory, but the stream programs, Dagster and the command
line are many processes; so this server exists. Add the translation of HTTP requests into engine
calls here; tables and queries belong to `serving`.
"""
