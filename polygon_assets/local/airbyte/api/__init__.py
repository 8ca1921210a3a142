"""Airbyte's two HTTP APIs: routes, tokens, bodies and problems.

Add an endpoint here; what is kept belongs to `workspace`, what a job does to `sync`.
"""
