"""The stream programs producer, filter, sink and archiver: long-running processes without Dagster.

Add a program here, run by `polygon-assets stream NAME`; supervising it belongs to `defs.stream`.
"""
