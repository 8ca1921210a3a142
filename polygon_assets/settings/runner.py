"""Who runs the stream programs, how long they may drain, and where they serve metrics.

Add what holds for every stream program here; one program's own variables belong to its module.
"""

from typing import Literal

from pydantic import Field

from polygon_assets.settings.group import SettingsGroup


class RunnerSettings(SettingsGroup):
    stream_runner: Literal["process", "ecs", "kubernetes"] = Field(
        "process",
        description="Who runs the stream programs: process (a child process of the Dagster run), "
        "ecs (an ECS service, which Dagster scales and which goes on when the run dies) or "
        "kubernetes (a Deployment, whose heartbeats the run follows).",
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
