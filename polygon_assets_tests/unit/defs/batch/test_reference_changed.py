"""Ticks of `reference_changed`: when it asks the vendor, and when it requests a sync.

Ticks of `missing_days` belong to test_missing_days.py.
"""

import dagster as dg
import pytest

from polygon_assets.clients.polygon_answers import PolygonApiError
from polygon_assets.defs.batch import backlogs
from polygon_assets.defs.batch.sensors import reference_changed
from polygon_assets.defs.graph.keys import TICKERS
from polygon_assets.defs.graph.runs import ASKED_BY_TAG
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.defs.batch.harness import AllSet, materialize
from polygon_assets_tests.unit.defs.conftest import NothingSet
from polygon_assets_tests.unit.defs.ticks import reason, requests, tick


class TestReferenceChanged:
    @pytest.fixture
    def answers(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What the vendor answers, taken from the end; nobody may ask when it is empty."""
        answers: list[str] = []

        def ask(_settings: Settings) -> str:
            if (answer := answers.pop()) == "refused":
                raise PolygonApiError("/v3/reference/tickers: HTTP 500")
            return answer

        monkeypatch.setattr(backlogs, "newest_change_at_vendor", ask)
        return answers

    def test_what_was_never_synced_is_asked_for_without_a_look_at_the_vendor(
        self, instance: dg.DagsterInstance, answers: list[str]
    ) -> None:
        assert answers == []
        [request] = requests(tick(reference_changed, instance, AllSet()))
        assert request.tags[ASKED_BY_TAG] == "reference_changed"

    def test_a_later_change_is_synced_and_the_vendor_left_alone_for_an_hour(
        self, instance: dg.DagsterInstance, answers: list[str]
    ) -> None:
        materialize(instance, TICKERS, newest_change="2026-11-20T10:00:00+00:00")
        answers.append("2026-11-20T11:00:00Z")
        answer = tick(reference_changed, instance, AllSet())
        assert len(requests(answer)) == 1
        assert isinstance(answer, dg.SensorResult)
        assert "next check at" in reason(tick(reference_changed, instance, AllSet(), answer.cursor))

    @pytest.mark.parametrize(
        ("newest", "expected"),
        [("2026-11-20T10:00:00Z", "unchanged since"), ("refused", "cannot be asked")],
    )
    def test_no_change_or_no_answer_starts_nothing_and_is_not_asked_for_every_minute(
        self, instance: dg.DagsterInstance, answers: list[str], newest: str, expected: str
    ) -> None:
        materialize(instance, TICKERS, newest_change="2026-11-20T10:00:00+00:00")
        answers.append(newest)
        answer = tick(reference_changed, instance, AllSet())
        assert isinstance(answer, dg.SensorResult)
        assert not requests(answer)
        assert expected in reason(answer)
        assert "next check at" in reason(tick(reference_changed, instance, AllSet(), answer.cursor))

    def test_with_nothing_set_nobody_is_asked(
        self, instance: dg.DagsterInstance, answers: list[str]
    ) -> None:
        assert answers == []
        assert "not set: AIRBYTE_WORKSPACE_ID" in reason(
            tick(reference_changed, instance, NothingSet())
        )
