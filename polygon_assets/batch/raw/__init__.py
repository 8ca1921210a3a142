"""The raw tables in Snowflake: how records are staged and merged, and what the tables hold.

Add a question about a raw table to `queries`; tables that are computed from them belong to `batch.marts`.
"""
