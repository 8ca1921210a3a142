"""One Fargate task definition: one container, its size, variables, secrets, health check and log.

Add an option of every task here; what runs in it belongs to `stream_services` and
`dagster_services`. A task has one container: `clients.ecs` takes the exit code of the task's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.aws.exceptions import accept
from polygon_assets.service_sizes import Size

PART = "part"
"""The tag that names what runs in a task; a right to stop tasks is limited to it."""
TMP = "/tmp"  # a path in the container
CPU_UNITS, MIB_PER_GB = 1024, 1024
LONGEST_STOP_SECONDS = 120
"""Fargate's limit of `stopTimeout`."""
START_SECONDS = 60
"""Failed health checks do not count for so long: Dagster's definitions load in seconds."""


class StopTimeoutError(Exception):
    """Fargate cannot wait as long as a program may drain."""


@dataclass(frozen=True)
class Container:
    """What runs in the one container of a task. `command` follows the image's entry point, unless
    `entry_point` replaces it."""

    name: str
    size: Size
    image: ecr.IRepository
    image_tag: str
    role: iam.IRole
    variables: Mapping[str, str]
    secrets: Mapping[str, ecs.Secret]
    secrets_key: kms.IKey
    command: Sequence[str]
    entry_point: Sequence[str] | None = None
    health_command: Sequence[str] | None = None
    stop_seconds: int = 30
    has_shell: bool = False
    """For ECS Exec. Without it the root is read-only, and /tmp is a volume."""
    ports: Sequence[int] = field(default_factory=tuple)


def family(name: str) -> str:
    """The name of a task definition without its revision."""
    return f"polygon-assets-{name}"


def task_definition(
    scope: Construct, container: Container, log_group: logs.ILogGroup
) -> ecs.FargateTaskDefinition:
    definition = ecs.FargateTaskDefinition(
        scope,
        "Task",
        family=family(container.name),
        cpu=round(container.size.vcpu * CPU_UNITS),
        memory_limit_mib=round(container.size.gb * MIB_PER_GB),
        task_role=container.role,
        runtime_platform=ecs.RuntimePlatform(
            cpu_architecture=ecs.CpuArchitecture.X86_64,
            operating_system_family=ecs.OperatingSystemFamily.LINUX,
        ),
    )
    added = definition.add_container(
        container.name,
        image=ecs.ContainerImage.from_ecr_repository(container.image, container.image_tag),
        entry_point=list(container.entry_point) if container.entry_point is not None else None,
        command=list(container.command),
        environment=dict(container.variables),
        secrets=dict(container.secrets),
        readonly_root_filesystem=not container.has_shell,
        stop_timeout=Duration.seconds(container.stop_seconds),
        health_check=_health_check(container.health_command),
        port_mappings=[ecs.PortMapping(container_port=port) for port in container.ports],
        logging=ecs.LogDrivers.aws_logs(stream_prefix=container.name, log_group=log_group),
        # A signal must reach the program, and orphans must be reaped, whatever the image has.
        linux_parameters=_with_init(scope),
    )
    _let_decrypt(definition, container.secrets_key)
    if container.has_shell:
        accept(
            definition, CKV_AWS_336="the agent of ECS Exec writes to the root, and /tmp is there"
        )
    else:
        _mount_tmp(definition, added)
    return definition


def _mount_tmp(definition: ecs.FargateTaskDefinition, container: ecs.ContainerDefinition) -> None:
    """The image declares the same path as a volume, whose rights Fargate copies.

    Otherwise the volume would belong to root, and the image's user could not write to it.
    """
    definition.add_volume(name="tmp")
    container.add_mount_points(
        ecs.MountPoint(container_path=TMP, source_volume="tmp", read_only=False)
    )


def _let_decrypt(definition: ecs.FargateTaskDefinition, key: kms.IKey) -> None:
    """CDK grants the secrets, but not their key, because it knows the key only by its ARN."""
    by_secrets_manager = f"secretsmanager.{Stack.of(definition).region}.amazonaws.com"
    definition.add_to_execution_role_policy(
        iam.PolicyStatement(
            actions=["kms:Decrypt"],
            resources=[key.key_arn],
            conditions={"StringEquals": {"kms:ViaService": by_secrets_manager}},
        )
    )


def log_group(scope: Construct, name: str) -> logs.LogGroup:
    """Lines of a month; what must last longer is in ClickHouse (docs/architecture.md)."""
    group = logs.LogGroup(
        scope,
        "Log",
        log_group_name=f"/polygon-assets/{name}",
        retention=logs.RetentionDays.ONE_MONTH,
        removal_policy=RemovalPolicy.DESTROY,
    )
    accept(
        group,
        CKV_AWS_158="CloudWatch encrypts each group with its own key; programs log no secret "
        "(Settings.conceal)",
    )
    return group


def stop_seconds(drain_seconds: float, margin_seconds: float = 20.0) -> int:
    """How long ECS waits between SIGTERM and SIGKILL: draining, and the last heartbeat.

    Raises StopTimeoutError above Fargate's limit.
    """
    seconds = round(drain_seconds + margin_seconds)
    if seconds > LONGEST_STOP_SECONDS:
        raise StopTimeoutError(
            f"DRAIN_SECONDS={drain_seconds:g} in the deployment file: Fargate kills a task after "
            f"{LONGEST_STOP_SECONDS} s; {LONGEST_STOP_SECONDS - margin_seconds:g} s is the most"
        )
    return seconds


def _health_check(command: Sequence[str] | None) -> ecs.HealthCheck | None:
    if command is None:
        return None
    return ecs.HealthCheck(
        command=["CMD", *command],
        interval=Duration.seconds(30),
        timeout=Duration.seconds(20),
        retries=3,
        start_period=Duration.seconds(START_SECONDS),
    )


def _with_init(scope: Construct) -> ecs.LinuxParameters:
    return ecs.LinuxParameters(scope, "Linux", init_process_enabled=True)
