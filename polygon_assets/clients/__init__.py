"""One module per outside system: its connect() and its errors; nothing else opens a connection.

Add a module here for a new system; what is read from or written to it belongs to its callers.
"""
