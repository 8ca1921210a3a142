"""The raw tables in Snowflake: loading days, staging and merging records, and the tables' contents.

Add a query of a raw table to `queries`; tables computed from raw tables belong to `batch.marts`.
"""
