"""Throughput of the stream programs against the obvious build and against the ceilings, and the full market for minutes."""
