"""One contender as a process: `python -m bench.contenders KIND NAME FOLDER EVENTS`.

The last line on stdout is the contender's Measurement as JSON.
"""

import importlib
import sys
from pathlib import Path

from bench.measure import Meter
from bench.work import Work
from polygon_assets.settings import load_settings


def main(kind: str, name: str, folder: str, events: str) -> None:
    """Run function `name` of module `kind`."""
    run = getattr(importlib.import_module(f"bench.contenders.{kind}"), name)
    run(load_settings(), Meter(), Work(Path(folder), int(events)))


if __name__ == "__main__":
    main(*sys.argv[1:])
