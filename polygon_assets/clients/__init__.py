"""One connect() per outside system. Nothing else in the project opens a connection."""
