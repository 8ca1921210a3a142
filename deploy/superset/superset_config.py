"""Superset's settings for `make superset`: its own storage, reached from this machine alone.

Production has a configuration of its own; only `export/` is meant for it.
"""

import os
from pathlib import Path

HOME = Path(os.environ["SUPERSET_HOME"])
SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HOME / 'superset.db'}"
# The queries are answered by servers on this machine, and live data must not come from a cache.
DATA_CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}
