"""Starts and stops the embedded stack: server list, child processes, ports, state on disk, `dev`.

Add a server's command and settings to `servers`; its behaviour belongs to the server's own folder.
"""
