"""The exchange's REST API: routes, list conventions, aggregates and reference data.

Add an endpoint here; the numbers in an answer belong to `market`.
"""
