"""How large each task on ECS Fargate is, declared once for the infrastructure and the estimate.

Add a service here; when its tasks run belongs to `service_hours`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from polygon_assets.settings import Settings


@dataclass(frozen=True)
class Size:
    """One Fargate task; the pairs that Fargate offers begin at 0.25 vCPU and 0.5 GB."""

    vcpu: float
    gb: float


STREAM_SIZES = {
    "producer": Size(0.5, 1.0),
    "filter": Size(0.5, 1.0),
    "sink": Size(0.5, 2.0),
    "archiver": Size(0.25, 1.0),
}
"""By program. A core takes more than 100,000 events a second, the busiest second of the whole
market has 12,000, and each program needs less than 400 MB; the sink's batches may be larger.
ECS_TASK_SIZES replaces single ones."""


def stream_sizes(settings: Settings) -> Mapping[str, Size]:
    """By program, the size of its tasks with these settings."""
    return STREAM_SIZES | {name: Size(*size) for name, size in settings.task_sizes.items()}


DAGSTER_SIZES = {
    "webserver": Size(0.5, 1.0),
    "daemon": Size(0.5, 1.0),
    "code server": Size(1.0, 2.0),
    "runs": Size(0.5, 2.0),
}
"""All day. `runs` is the size of a run's task: one supervises each stream program as long as that
runs. The others, of minutes each, are together about one all day: while the market is open two
begin every five minutes, and Fargate charges from the pulling of the image on."""

PAGE_SIZE = Size(0.5, 1.0)
"""All day. The whole market with ten visitors takes 0.22 cores and 300 MB (bench/RESULTS.md)."""
