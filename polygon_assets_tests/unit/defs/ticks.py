"""Evaluates a sensor once and reads its answer: requested runs, or the reason of a skip.

Environments and instances belong to conftest, expectations to the tests.
"""

import dagster as dg

from polygon_assets.defs.graph.resources import Environment
from polygon_assets_tests.unit.defs.conftest import OpenMarket


def tick(
    sensor: dg.SensorDefinition,
    instance: dg.DagsterInstance,
    environment: Environment | None = None,
    cursor: str | None = None,
) -> dg.SensorResult | dg.SkipReason:
    """What one tick answers."""
    with dg.build_sensor_context(
        instance, cursor, resources={"environment": environment or OpenMarket()}
    ) as context:
        answer = sensor(context)
    assert isinstance(answer, dg.SensorResult | dg.SkipReason)
    return answer


def requests(answer: dg.SensorResult | dg.SkipReason) -> list[dg.RunRequest]:
    assert isinstance(answer, dg.SensorResult)
    return list(answer.run_requests or [])


def reason(answer: dg.SensorResult | dg.SkipReason) -> str:
    skipped = answer if isinstance(answer, dg.SkipReason) else answer.skip_reason
    assert isinstance(skipped, dg.SkipReason)
    return skipped.skip_message or ""
