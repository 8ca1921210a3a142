"""The contenders and the rounds: each contender runs once per round.

So a busy minute of the machine hits all of them alike. Add a contender to the list here; its code
belongs to `contenders`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from bench.laboratory import Laboratory
from bench.measure import Measurement, Rate, rate_of

SLOWER = 6
"""Obvious builds get the first sixth of the events: the same rate in a sixth of the time."""

PROGRAMS = ("producer", "filter_", "sink")


@dataclass(frozen=True)
class Contender:
    """One line of the table.

    `topic` is the topic that must be filled before the start, or only one partition of it;
    `functions` run at the same time, in the order of the path.
    """

    program: str
    title: str
    kind: str
    functions: tuple[str, ...]
    topic: str = ""
    has_one_partition: bool = False

    @property
    def is_obvious(self) -> bool:
        return self.kind == "obvious"


CONTENDERS = (
    Contender("producer", "ours", "ours", ("producer",)),
    Contender("producer", "obvious build", "obvious", ("producer",)),
    Contender("producer", "ceiling: decode only", "ceiling", ("decode",)),
    Contender("producer", "ceiling: librdkafka produce", "ceiling", ("produce",)),
    Contender("filter", "ours", "ours", ("filter_",), "raw"),
    Contender("filter", "ours, one partition", "ours", ("filter_",), "raw", True),
    Contender("filter", "obvious build", "obvious", ("filter_",), "raw"),
    Contender("filter", "ceiling: librdkafka consume", "ceiling", ("consume",), "raw"),
    Contender("sink", "ours", "ours", ("sink",), "filtered"),
    Contender("sink", "ours, one partition", "ours", ("sink",), "filtered", True),
    Contender("sink", "obvious build", "obvious", ("sink",), "filtered"),
    Contender("sink", "ceiling: insert_arrow", "ceiling", ("insert",)),
    Contender("whole path", "ours", "ours", PROGRAMS),
    Contender("whole path", "obvious build", "obvious", PROGRAMS),
)

Results = dict[Contender, list[Rate]]


def run(
    lab: Laboratory, events: int, rounds: int, programs: Collection[str] = ()
) -> Iterator[tuple[Contender, Results]]:
    """Run all rounds; yields after each contender, with the results so far."""
    contenders = [one for one in CONTENDERS if not programs or one.program in programs]
    results: Results = defaultdict(list)
    for _ in range(rounds):
        for contender in contenders:
            results[contender].append(
                rate_of(
                    _measure(lab, contender, events // SLOWER if contender.is_obvious else events)
                )
            )
            yield contender, results


def _measure(lab: Laboratory, contender: Contender, events: int) -> list[Measurement]:
    """Measure the contender's processes, in the order of the path; the last one starts first."""
    lab.reset(contender.topic, events, has_one_partition=contender.has_one_partition)
    with ExitStack() as cleanup:
        variables = {}
        if "producer" in contender.functions:
            variables["POLYGON_WEBSOCKET_URL"] = cleanup.enter_context(lab.feed(events))
        started = []
        for name in reversed(contender.functions):
            running = cleanup.enter_context(lab.start(contender.kind, name, events, **variables))
            if contender.kind != "ceiling":
                running.wait_until_ready()
            started.append(running)
        return [running.measurement() for running in reversed(started)]
