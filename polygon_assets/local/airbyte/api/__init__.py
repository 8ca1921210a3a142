"""Airbyte's two HTTP APIs: routes, tokens, bodies and problems.

Add an endpoint here; stored objects belong to `workspace`, the execution of jobs to `sync`.
"""
