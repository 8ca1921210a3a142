"""What both halves of the graph share: keys, partitions, pools, resources, runs, alerts.

Nothing here names a stream program or a Snowflake table; those belong to `defs.stream` and
`defs.batch`.
"""
