"""The stream half of the graph: supervising and judging the programs, closing trading days.

Add a sensor, schedule, job or check of the live data here; what both halves share belongs to
`defs.graph`.
"""
