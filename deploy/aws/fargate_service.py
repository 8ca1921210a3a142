"""One Fargate service: private, and never with more tasks than are wanted.

Add an option of every service here; what runs in one belongs to `stream_services`,
`dagster_services` and `page_service`, a task's own options to `task_definitions`.
"""

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from constructs import Construct


def fargate_service(
    scope: Construct,
    *,
    name: str,
    cluster: ecs.ICluster,
    task: ecs.FargateTaskDefinition,
    security_group: ec2.ISecurityGroup,
    tasks: int = 1,
    least_healthy_percent: int = 0,
    rolls_back: bool = True,
    has_shell: bool = False,
) -> ecs.FargateService:
    """`rolls_back`: an update whose tasks do not start is undone. `has_shell`: for ECS Exec."""
    return ecs.FargateService(
        scope,
        "Service",
        service_name=name,
        cluster=cluster,
        task_definition=task,
        desired_count=tasks,
        min_healthy_percent=least_healthy_percent,
        # A second task would take the vendor's connection, or launch the same runs.
        max_healthy_percent=100,
        availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,
        circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True) if rolls_back else None,
        enable_execute_command=has_shell,
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        security_groups=[security_group],
        propagate_tags=ecs.PropagatedTagSource.SERVICE,
    )
