"""The programs as they are shipped, started as the command line starts them, with an observer that stops them after their last event.

Nothing of the programs is replaced: the observer reads the heartbeat that they publish anyway.
"""

import importlib
import sys
import threading
import time
from dataclasses import dataclass

from bench.measure import Meter
from bench.work import Work
from polygon_assets.messages import ProgramName
from polygon_assets.settings import Settings
from polygon_assets.streaming import filter as filter_program
from polygon_assets.streaming import producer as producer_program
from polygon_assets.streaming import sink as sink_program
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.program import Loop, run_program

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
    code = run_program(name, settings, Observed(loop, meter, work.events))
    if code:
        sys.exit(code)


@dataclass(frozen=True)
class Observed:
    """A program's loop that is asked to stop after its last event; measured from `streaming` to the end of its draining."""

    loop: Loop
    meter: Meter
    events: int

    def __call__(
        self, settings: Settings, publisher: HeartbeatPublisher, stop: threading.Event
    ) -> None:
        threading.Thread(target=self._observe, args=(publisher, stop), daemon=True).start()
        self.loop(settings, publisher, stop)
        self.meter.stop(publisher.beat.counters["forwarded"])

    def _observe(self, publisher: HeartbeatPublisher, stop: threading.Event) -> None:
        while publisher.beat.state != "streaming":
            self.meter.start()
            time.sleep(OBSERVE_SECONDS)
        self.meter.ready()
        while publisher.beat.counters.get("forwarded", 0) < self.events:
            time.sleep(OBSERVE_SECONDS)
        stop.set()
