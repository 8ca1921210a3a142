"""A code location whose stream programs are small fakes that note their start and their draining.

The notes are files in the folder FAKE_PROGRAM_NOTES; the tests belong to test_supervision.
"""

import os
import sys

from polygon_assets.definitions import build_defs
from polygon_assets.defs.graph.resources import StreamPrograms

FAKE_PROGRAM = """
import os, pathlib, signal, sys, time
notes = pathlib.Path(sys.argv[1])
def stop(*_):
    time.sleep(0.2)
    (notes / f"{os.getpid()}.drained").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(f"the fake {sys.argv[2]} prints", flush=True)
(notes / f"{os.getpid()}.started").touch()
while True: time.sleep(0.1)
"""

defs = build_defs(
    resource_overrides={
        "programs": StreamPrograms(
            command=[sys.executable, "-c", FAKE_PROGRAM, os.environ["FAKE_PROGRAM_NOTES"]]
        )
    }
)
