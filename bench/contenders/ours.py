"""The programs as they are shipped, started as the command line starts them, with an observer that stops them after their last event.

Nothing of the programs is replaced: the observer reads the heartbeat that they publish anyway.
"""

import importlib
import sys
import threading
import time
from functools import partial

from bench.measure import Meter
from bench.work import Work
from polygon_assets.messages import ProgramName
from polygon_assets.settings import Settings
from polygon_assets.streaming import filter as filter_program
from polygon_assets.streaming import producer as producer_program
from polygon_assets.streaming import sink as sink_program
from polygon_assets.streaming.program import Loop, run_program
from polygon_assets.streaming.pulse import Pulse

OBSERVE_SECONDS = 0.005


def producer(settings: Settings, meter: Meter, work: Work) -> None:
    """The end is the clean end of the program, when Kafka has acknowledged everything."""
    _run("producer", producer_program.run, settings, meter, work)


def filter_(settings: Settings, meter: Meter, work: Work) -> None:
    """The end is the clean end of the program: output acknowledged, input committed."""
    _run("filter", filter_program.run, settings, meter, work)


def sink(settings: Settings, meter: Meter, work: Work) -> None:
    """The end is the clean end of the program: rows inserted, input committed."""
    # pyarrow imports it with the first row: start-up like all imports, which no contender is charged for.
    importlib.import_module("pandas")
    _run("sink", sink_program.run, settings, meter, work)


def _run(name: ProgramName, loop: Loop, settings: Settings, meter: Meter, work: Work) -> None:
    code = run_program(name, settings, partial(_observed, loop, meter, work))
    if code:
        sys.exit(code)


def _observed(loop: Loop, meter: Meter, work: Work, settings: Settings, pulse: Pulse, stop: threading.Event) -> None:
    threading.Thread(target=_observe, args=(meter, work.events, pulse, stop), daemon=True).start()
    loop(settings, pulse, stop)
    meter.stop(pulse.beat.counters["forwarded"])


def _observe(meter: Meter, events: int, pulse: Pulse, stop: threading.Event) -> None:
    while pulse.beat.state != "streaming":
        meter.start()
        time.sleep(OBSERVE_SECONDS)
    meter.ready()
    while pulse.beat.counters.get("forwarded", 0) < events:
        time.sleep(OBSERVE_SECONDS)
    stop.set()
