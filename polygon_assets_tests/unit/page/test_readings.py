"""The page's reader: one answer for all visitors, old answers kept, a system that comes back."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from polygon_assets.market import MarketError
from polygon_assets.page import readings
from polygon_assets.page.readings import Reader, Reading, Source

PATIENCE_SECONDS = 20.0


def eventually(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class System:
    """A system that answers with a running number, and can go away."""

    def __init__(self) -> None:
        self.connections = self.answers = 0
        self.is_away = False

    @contextmanager
    def connect(self) -> Iterator["System"]:
        if self.is_away:
            raise MarketError("it is away")
        self.connections += 1
        yield self

    def number(self, system: "System") -> int:
        assert system is self
        if self.is_away:
            raise MarketError("it went away")
        self.answers += 1
        return self.answers


@pytest.fixture
def system() -> System:
    return System()


@pytest.fixture
def reader(system: System, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader[System]]:
    monkeypatch.setattr(readings, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(readings, "LONGEST_PAUSE", 0.05)
    reader = Reader("a system", system.connect)
    reader.start()
    yield reader
    reader.stop()


def test_many_visitors_share_one_question(system: System, reader: Reader[System]) -> None:
    for _ in range(10):
        reader.watch("number", Source("number", 3600, system.number))
    eventually(lambda: reader.reading("number").value is not None)
    assert (system.answers, system.connections) == (1, 1)


def test_a_question_is_asked_again_in_its_rhythm(system: System, reader: Reader[System]) -> None:
    reader.watch("often", Source("often", 0.02, system.number))
    eventually(lambda: system.answers > 5)
    assert system.connections == 1


def test_the_last_visitor_who_leaves_ends_the_question(
    system: System, reader: Reader[System]
) -> None:
    source = Source("number", 0.01, system.number)
    reader.watch("number", source)
    reader.watch("number", source)
    reader.leave("number")
    eventually(lambda: system.answers > 3)
    reader.leave("number")
    assert reader.reading("number") == Reading()
    time.sleep(0.05)
    answers = system.answers
    time.sleep(0.1)
    assert system.answers == answers


def test_a_system_that_is_away_leaves_the_old_answer_and_the_reason(
    system: System, reader: Reader[System]
) -> None:
    reader.watch("number", Source("number", 0.01, system.number))
    eventually(lambda: reader.reading("number").value is not None)
    system.is_away = True
    eventually(lambda: "away" in reader.reading("number").problem)
    old = reader.reading("number")
    assert old.value == system.answers
    assert old.at is not None
    system.is_away = False
    eventually(lambda: not reader.reading("number").problem)
    assert system.connections > 1


def test_a_question_that_fails_holds_up_no_other(system: System, reader: Reader[System]) -> None:
    def refused(_: System) -> int:
        raise MarketError("the table does not exist")

    reader.watch("first", Source("first", 0.01, refused))
    reader.watch("second", Source("second", 0.01, system.number))
    eventually(lambda: system.answers > 20)
    assert reader.reading("first").problem == "the table does not exist"
    assert not reader.reading("second").problem


@pytest.mark.parametrize("error", [OSError("cut off"), ValueError("no Arrow stream")])
def test_no_failure_ends_the_reader(
    system: System, reader: Reader[System], error: Exception
) -> None:
    failures = iter([error])

    def sometimes(asked: System) -> int:
        for failure in failures:
            raise failure
        return system.number(asked)

    reader.watch("number", Source("number", 0.01, sometimes))
    eventually(lambda: reader.reading("number").value is not None)


def test_a_stopped_reader_leaves_no_thread(system: System) -> None:
    reader = Reader("another system", system.connect)
    reader.start()
    reader.stop()
    assert "reads another system" not in {thread.name for thread in threading.enumerate()}
