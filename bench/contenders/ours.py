"""The programs as shipped, with an observer that stops each one after its last event.

They start as the command line starts them. Nothing in them is replaced: the observer reads the
heartbeat that they publish anyway.
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
    """The clock stops at the program's clean end, when Kafka has acknowledged everything."""
    _run("producer", producer_program.run, settings, meter, work)


def filter_(settings: Settings, meter: Meter, work: Work) -> None:
    """The clock stops at the program's clean end: output acknowledged, input committed."""
    _run("filter", filter_program.run, settings, meter, work)


def sink(settings: Settings, meter: Meter, work: Work) -> None:
    """The clock stops at the program's clean end: rows inserted, input committed."""
    # pyarrow imports pandas with the first row; no contender's clock includes its imports.
    importlib.import_module("pandas")
    _run("sink", sink_program.run, settings, meter, work)


def _run(name: ProgramName, loop: Loop, settings: Settings, meter: Meter, work: Work) -> None:
    code = run_program(name, settings, Observed(loop, meter, work.events))
    if code:
        sys.exit(code)


@dataclass(frozen=True)
class Observed:
    """A program's loop, stopped after its last event; timed from `streaming` until drained."""

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
