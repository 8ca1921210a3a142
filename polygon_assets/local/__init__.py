"""The embedded stack: servers on 127.0.0.1 that speak production's protocols.

Add a stand-in for an outside system here; production code belongs elsewhere. Only the command line
imports this package.
"""
