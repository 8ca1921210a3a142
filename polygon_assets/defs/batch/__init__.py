"""The batch half of the graph: when days are loaded, tables built and days compared.

Add a sensor, schedule, job or check of Snowflake's tables here; what both halves share belongs to
`defs.graph`.
"""
