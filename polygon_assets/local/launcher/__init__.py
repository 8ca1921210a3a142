"""Starts and stops the embedded stack: its servers as data, child processes, ports, state on disk, `dev`.

Add a server to `servers`; what a server does belongs to its own folder beside this one.
"""
