"""What Dagster may do in ECS: supervise the stream programs and launch its runs.

Add a right here that `clients.ecs` or EcsRunLauncher needs; rights in S3 belong to `rights`.
"""

from collections.abc import Collection

from aws_cdk import Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.aws.rights import TASKS


class DagsterRights(Construct):
    """A policy of Dagster's role; it stands here because its resources are the services'."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        role: iam.Role,
        cluster: ecs.ICluster,
        streams: Collection[ecs.FargateService],
        run: ecs.FargateTaskDefinition,
        run_log: logs.ILogGroup,
    ) -> None:
        super().__init__(scope, name)
        stack = Stack.of(self)
        in_cluster = {"ArnEquals": {"ecs:cluster": cluster.cluster_arn}}
        tasks = stack.format_arn(
            service="ecs", resource="task", resource_name=f"{cluster.cluster_name}/*"
        )
        statements = [
            _statement(
                "ecs:DescribeServices",
                "ecs:UpdateService",
                resources=[service.service_arn for service in streams],
                conditions=in_cluster,
            ),
            _statement("ecs:DescribeTasks", "ecs:StopTask", resources=[tasks]),
            # These two know no resource of their own.
            _statement("ecs:ListTasks", resources=["*"], conditions=in_cluster),
            _statement(
                "ecs:DescribeTaskDefinition", "ec2:DescribeNetworkInterfaces", resources=["*"]
            ),
            _statement("ecs:RunTask", resources=[_any_revision(run)], conditions=in_cluster),
            _statement(
                "ecs:TagResource",
                resources=[tasks],
                conditions={"StringEquals": {"ecs:CreateAction": "RunTask"}},
            ),
            _statement(
                "iam:PassRole",
                resources=[run.task_role.role_arn, run.obtain_execution_role().role_arn],
                conditions={"StringEquals": {"iam:PassedToService": TASKS}},
            ),
            # The last lines of a run whose task died.
            _statement("logs:GetLogEvents", resources=[run_log.log_group_arn]),
        ]
        iam.Policy(self, "Policy", statements=statements, roles=[role])


def _any_revision(run: ecs.FargateTaskDefinition) -> str:
    """A run that was queued before a deployment starts with the new revision."""
    return Stack.of(run).format_arn(
        service="ecs", resource="task-definition", resource_name=f"{run.family}:*"
    )


def _statement(
    *actions: str, resources: list[str], conditions: dict[str, dict[str, str]] | None = None
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=list(actions), resources=resources, conditions=conditions or {}
    )
