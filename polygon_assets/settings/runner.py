"""Who runs the stream programs, in how many copies, how long they may drain, where metrics are.

Add what holds for every stream program here; one program's own variables belong to its module.
"""

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from polygon_assets.settings.group import SettingsGroup

_SIZE = re.compile(r"(producer|filter|sink|archiver)=([0-9]+(?:\.[0-9]+)?):([0-9]+(?:\.[0-9]+)?)")
FARGATE_GB = {
    0.25: (0.5, 2.0),
    0.5: (1.0, 4.0),
    1.0: (2.0, 8.0),
    2.0: (4.0, 16.0),
    4.0: (8.0, 30.0),
}
"""By vCPU, the least and the most memory of a Fargate task; from 1 vCPU on in whole GB."""


class RunnerSettings(SettingsGroup):
    stream_runner: Literal["process", "ecs", "kubernetes"] = Field(
        "process",
        description="Who runs the stream programs: process (a child process of the Dagster run), "
        "ecs (an ECS service, which Dagster scales and which goes on when the run dies) or "
        "kubernetes (a Deployment, whose heartbeats the run follows).",
    )
    filter_copies: int = Field(
        1,
        ge=1,
        le=1_000,
        description="Filters that share the raw topic, at most KAFKA_PARTITIONS. On ECS Dagster "
        "runs so many tasks; on Kubernetes give the Deployment as many replicas. A run of "
        "STREAM_RUNNER=process runs one; start the others elsewhere with `polygon-assets stream`.",
    )
    sink_copies: int = Field(
        1, ge=1, le=1_000, description="Sinks that share the filtered topic; as FILTER_COPIES."
    )
    archiver_copies: int = Field(
        1, ge=1, le=1_000, description="Archivers that share the raw topic; as FILTER_COPIES."
    )
    ecs_cluster: str = Field(
        "", description="Name or ARN of the ECS cluster; needed where STREAM_RUNNER is ecs."
    )
    ecs_service_prefix: str = Field(
        "polygon-assets-",
        description="Start of the services' names, to which a program's name is added.",
    )
    ecs_start_seconds: float = Field(
        180.0,
        gt=0,
        le=86_400,
        description="An alert fires when a task of a service has not started after this long.",
    )
    ecs_task_sizes: str = Field(
        "",
        description="Other sizes of the stream programs' tasks on ECS than service_sizes.py "
        "declares: PROGRAM=VCPU:GB, separated by semicolons, such as producer=1:2;archiver=1:2. "
        "`cdk deploy` and the estimate read it.",
    )
    aws_endpoint_url_ecs: str = Field(
        "", description="Empty for AWS; otherwise the address of a server with ECS's protocol."
    )
    ecs_container_metadata_uri_v4: str = Field(
        "",
        description="Set by ECS in each container, never by hand: names a program's task in its "
        "heartbeats.",
    )
    drain_seconds: float = Field(
        10.0,
        gt=0,
        le=3_600,
        description="How long a stopped stream program may take to deliver what it accepted.",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65_532,
        description="Port on which the producer serves /healthz, /readyz and /metrics; filter, "
        "sink and archiver use the next three. 0 for none.",
    )
    metrics_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address on which they are served, without a login: 0.0.0.0 in a container "
        "whose network only the monitoring can reach.",
    )

    @field_validator("ecs_task_sizes")
    @classmethod
    def _are_fargate_sizes(cls, text: str) -> str:
        for program, vcpu, gb in _sizes(text):
            least, most = FARGATE_GB.get(vcpu, (0.0, 0.0))
            if not most:
                known = ", ".join(f"{size:g}" for size in FARGATE_GB)
                raise ValueError(f"{program}: {vcpu:g} vCPU is no size of Fargate: use {known}")
            if not least <= gb <= most or (gb != int(gb) and gb != least):
                raise ValueError(
                    f"{program}: Fargate gives {vcpu:g} vCPU {least:g} to {most:g} GB in whole "
                    f"numbers, not {gb:g}"
                )
        return text

    @property
    def task_sizes(self) -> dict[str, tuple[float, float]]:
        """ECS_TASK_SIZES by program: vCPU and GB."""
        return {program: (vcpu, gb) for program, vcpu, gb in _sizes(self.ecs_task_sizes)}


def _sizes(text: str) -> Iterator[tuple[str, float, float]]:
    """Raises ValueError, which names the entry."""
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        if not (match := _SIZE.fullmatch(entry)):
            raise ValueError(
                f"{entry!r} is no size: write PROGRAM=VCPU:GB such as archiver=1:2, with producer, "
                "filter, sink or archiver"
            )
        yield match[1], float(match[2]), float(match[3])
