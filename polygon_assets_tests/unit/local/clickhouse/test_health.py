import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from polygon_assets.local.clickhouse import health
from polygon_assets.local.clickhouse.errors import ClickHouseError
from polygon_assets.local.clickhouse.health import EngineWatch


class Engine:
    """Answers, refuses with `code`, or hangs while `free` is cleared."""

    def __init__(self) -> None:
        self.code = 0
        self.free = threading.Event()
        self.free.set()

    def probe(self) -> None:
        self.free.wait()
        if self.code:
            raise ClickHouseError.refused(self.code, "NAME", "reason")


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.free.set()


@contextmanager
def watching(engine: Engine, deaths: list[str]) -> Iterator[EngineWatch]:
    watch = EngineWatch(engine.probe, deaths.append)
    watch.start()
    yield watch
    engine.free.set()
    watch.stop()


def test_an_engine_that_answers_has_no_problem(engine: Engine) -> None:
    deaths: list[str] = []
    with watching(engine, deaths) as watch:
        assert watch.problem() == ""
    assert deaths == []


@pytest.mark.parametrize("code", [236, 1002, 49])
def test_an_engine_that_refuses_everything_is_dead_and_stays_dead(
    engine: Engine, code: int
) -> None:
    deaths: list[str] = []
    with watching(engine, deaths) as watch:
        assert watch.problem() == ""
        engine.code = code
        assert f"Code: {code}." in watch.problem()
        engine.code = 0
        assert f"Code: {code}." in watch.problem()
    assert len(deaths) == 1


@pytest.mark.parametrize("code", [159, 202, 241, 394, 439])
def test_an_engine_at_its_limits_is_alive(engine: Engine, code: int) -> None:
    deaths: list[str] = []
    engine.code = code
    with watching(engine, deaths) as watch:
        assert watch.problem() == ""
    assert deaths == []


def test_an_engine_that_answers_late_is_busy_at_first_and_hung_after_a_long_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths: list[str] = []
    monkeypatch.setattr(health, "_PATIENCE_SECONDS", 0.05)
    with watching(engine, deaths) as watch:
        assert watch.problem() == ""
        engine.free.clear()
        assert watch.problem() == ""
        monkeypatch.setattr(health, "_HUNG_SECONDS", 0.0)
        assert "has not answered" in watch.problem()
        monkeypatch.setattr(health, "_PATIENCE_SECONDS", 30.0)
        engine.free.set()
        assert watch.problem() == ""
    assert deaths == []
