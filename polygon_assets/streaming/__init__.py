"""The stream programs: producer, filter and sink, each a long-running process without Dagster.

Add a program here, run by `polygon-assets stream NAME`; supervising it belongs to `defs.stream`.
"""
