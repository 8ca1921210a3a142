"""Connections to outside systems: a module or package for each, with its connect() and errors.

Add a module here for a new system, because nothing else opens a connection; what is read from or
written to it belongs to its callers.
"""
