"""ClickHouse for one machine: the real engine (chDB) in one process, behind ClickHouse's own HTTP interface.

Only what turns HTTP requests into engine calls belongs here; tables and queries are in `serving`. It exists because chDB lets
a single process open a data directory, while the stream programs, Dagster and the command line are many.
"""
