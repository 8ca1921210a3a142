"""How `doctor` shows the connectors that replace our sink; `status` belongs to test_status."""

from typing import Any

import pytest

from polygon_assets.inspection import doctor
from polygon_assets_tests.connect_stub import RUNNING, connect_stub, failed


@pytest.mark.parametrize(
    ("aggregates", "ok", "words"),
    [
        (RUNNING, True, "polygon_stock_aggregates RUNNING, 1/1 tasks"),
        (failed(), False, "polygon_stock_aggregates task 0 is FAILED (org.apache"),
        (None, False, "polygon_stock_aggregates does not exist; `polygon-assets connect apply`"),
    ],
    ids=["running", "failed", "missing"],
)
def test_doctor_asks_connect_for_both_connectors(
    aggregates: dict[str, Any] | None, ok: bool, words: str
) -> None:
    with connect_stub() as stub:
        stub.states = {"polygon_dead_letters": RUNNING}
        if aggregates:
            stub.states["polygon_stock_aggregates"] = aggregates
        [finding] = doctor._connect_findings(stub.settings)
    assert finding.ok is ok
    assert words in finding.message
    assert ("KAFKA_CONNECT_URL" in finding.cure) is not ok


def test_doctor_says_that_no_address_is_set() -> None:
    with connect_stub() as stub:
        settings = stub.settings.model_copy(update={"kafka_connect_url": ""})
    [finding] = doctor._connect_findings(settings)
    assert (finding.ok, finding.message) == (False, "KAFKA_CONNECT_URL is not set")
