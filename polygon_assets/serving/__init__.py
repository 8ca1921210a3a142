"""ClickHouse's tables: the numbered migrations, the queries, and the programs that run them.

Add SQL against ClickHouse here; who runs it and when belongs to `streaming` and `defs`.
"""
