"""The stream half of the graph: supervising the three programs, judging them, and closing trading days.

Add a sensor, schedule, job or check of the live data here; what both halves share belongs to `defs.graph`.
"""
