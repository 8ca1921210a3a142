"""A producer on each calendar, with the fakes of `producer_rig`."""

import pytest

from polygon_assets_tests.unit.streaming.producer_rig import Rig


@pytest.fixture
def always_open(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch, "24/7")


@pytest.fixture
def nyse(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch, "NYSE")
