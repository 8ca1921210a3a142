"""The base of every named error of this project.

Errors are declared where they are raised and derive from the base, so that a caller can catch what
this project reports, and nothing else.
"""


class PolygonAssetsError(Exception):
    """What failed, the value, the place and the cure, in one message for people."""
