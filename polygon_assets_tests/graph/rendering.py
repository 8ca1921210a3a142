"""The graph as text, for the snapshot: assets, checks, jobs, schedules and sensors.

`python -m polygon_assets_tests.graph.rendering` rewrites the snapshot; its diff shows the change.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph, AssetNode

from polygon_assets.definitions import build_defs
from polygon_assets.settings import Settings

SNAPSHOT = Path(__file__).with_name("snapshot.txt")


def production_defs() -> dg.Definitions:
    """The definitions as with nothing set."""
    return build_defs(Settings.model_construct(market_calendar="NYSE"))


def render(defs: dg.Definitions) -> str:
    graph = defs.resolve_asset_graph()
    blocks = [list(_asset(graph, key)) for key in sorted(graph.get_all_asset_keys())]
    blocks += [
        [f"job {job.name}: {', '.join(sorted(job.tags)) or 'no tags'}"] for job in _jobs(defs)
    ]
    blocks += [
        [
            f"schedule {s.name}: {s.cron_schedule} {s.execution_timezone} "
            f"-> {s.job_name} ({s.default_status.value})"
        ]
        for s in _schedules(defs)
    ]
    blocks += [
        [f"sensor {s.name}: {s.sensor_type.value} -> {_targets(s)} ({s.default_status.value})"]
        for s in _sensors(defs)
    ]
    return "\n".join("\n".join(block) for block in blocks) + "\n"


def _targets(sensor: dg.SensorDefinition) -> str:
    return ", ".join(sorted(target.job_name for target in sensor.targets)) or "assets"


def _asset(graph: AssetGraph, key: dg.AssetKey) -> Iterator[str]:
    node: AssetNode = graph.get(key)
    yield key.to_user_string()
    kind = "computed here" if node.is_materializable else "external"
    yield f"  {kind}, group {node.group_name}, owners {', '.join(node.owners)}"
    yield f"  kinds: {', '.join(sorted(node.kinds))}"
    parents = sorted(parent.to_user_string() for parent in node.parent_keys)
    yield f"  deps: {', '.join(parents) or 'none'}"
    if node.partitions_def:
        days = node.partitions_def
        assert isinstance(days, dg.TimeWindowPartitionsDefinition)
        yield f"  partitions: {type(days).__name__}, {days.timezone}"
    if node.automation_condition:
        yield f"  automation: {node.automation_condition.get_label()}"
    if node.backfill_policy:
        yield f"  backfill: {node.backfill_policy.policy_type.value.lower()}"
    if node.pools:
        yield f"  pools: {', '.join(sorted(node.pools))}"
    for check in sorted(node.check_keys):
        yield f"  check: {check.name}"


def _jobs(defs: dg.Definitions) -> list[dg.JobDefinition]:
    return [
        job
        for job in sorted(defs.resolve_all_job_defs(), key=lambda job: job.name)
        if not job.name.startswith("__")
    ]


def _schedules(defs: dg.Definitions) -> list[dg.ScheduleDefinition]:
    return sorted(defs.get_repository_def().schedule_defs, key=lambda schedule: schedule.name)


def _sensors(defs: dg.Definitions) -> list[dg.SensorDefinition]:
    return sorted(defs.get_repository_def().sensor_defs, key=lambda sensor: sensor.name)


if __name__ == "__main__":
    SNAPSHOT.write_text(render(production_defs()))
