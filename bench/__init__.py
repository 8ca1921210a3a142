"""Throughput of the stream programs against baselines and ceilings; the full market for minutes.

Add a module here when it measures something; promises about results belong to the tests.
"""
