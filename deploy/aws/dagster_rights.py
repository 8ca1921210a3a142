"""What Dagster may do in ECS: supervise the stream programs, launch its runs, and cancel them.

Add a right here that `clients.ecs` or EcsRunLauncher needs, at the task that calls it; rights in S3
belong to `rights`.
"""

from collections.abc import Collection, Mapping

from aws_cdk import Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.aws.dagster_services import RUN
from deploy.aws.rights import TASKS, DagsterTask
from deploy.aws.task_definitions import PART

Conditions = Mapping[str, Mapping[str, object]]


class DagsterRights(Construct):
    """Policies of Dagster's roles; they stand here because their resources are the services'."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        roles: Mapping[DagsterTask, iam.Role],
        cluster: ecs.ICluster,
        streams: Mapping[str, ecs.FargateService],
        run: ecs.FargateTaskDefinition,
        run_log: logs.ILogGroup,
    ) -> None:
        super().__init__(scope, name)
        self._in_cluster = {"ArnEquals": {"ecs:cluster": cluster.cluster_arn}}
        self._tasks = Stack.of(self).format_arn(
            service="ecs", resource="task", resource_name=f"{cluster.cluster_name}/*"
        )
        services = [service.service_arn for service in streams.values()]
        # QueuedRunCoordinator: the webserver only queues a run, and the daemon launches it.
        stops_runs, supervises = self._stops([RUN]), self._supervises(services)
        self._grant(roles["webserver"], "Webserver", [stops_runs])
        self._grant(roles["daemon"], "Daemon", [stops_runs, *self._launches(run, run_log)])
        self._grant(roles["code"], "Code", supervises)
        self._grant(roles["run"], "Run", [*supervises, self._stops(streams)])

    def _grant(self, role: iam.Role, name: str, statements: list[iam.PolicyStatement]) -> None:
        every = [
            # Each process creates the launcher, which reads its definition. The action knows no
            # resource.
            _statement("ecs:DescribeTaskDefinition", resources=["*"]),
            _statement("ecs:DescribeTasks", resources=[self._tasks], conditions=self._in_cluster),
        ]
        iam.Policy(self, name, statements=[*every, *statements], roles=[role])

    def _stops(self, parts: Collection[str]) -> iam.PolicyStatement:
        """Tasks of these parts only: ECS gives a task the tags of its service or definition."""
        of_parts = {"StringEquals": {f"aws:ResourceTag/{PART}": sorted(parts)}}
        return _statement(
            "ecs:StopTask", resources=[self._tasks], conditions={**self._in_cluster, **of_parts}
        )

    def _supervises(self, services: list[str]) -> list[iam.PolicyStatement]:
        """Sensors scale a service to 0 that no run needs, and runs keep theirs going."""
        return [
            _statement(
                "ecs:DescribeServices",
                "ecs:UpdateService",
                resources=services,
                conditions=self._in_cluster,
            ),
            # It knows no resource of its own.
            _statement("ecs:ListTasks", resources=["*"], conditions=self._in_cluster),
        ]

    def _launches(
        self, run: ecs.FargateTaskDefinition, run_log: logs.ILogGroup
    ) -> list[iam.PolicyStatement]:
        return [
            _statement("ecs:RunTask", resources=[_any_revision(run)], conditions=self._in_cluster),
            _statement(
                "ecs:TagResource",
                resources=[self._tasks],
                conditions={"StringEquals": {"ecs:CreateAction": "RunTask"}},
            ),
            _statement(
                "iam:PassRole",
                resources=[run.task_role.role_arn, run.obtain_execution_role().role_arn],
                conditions={"StringEquals": {"iam:PassedToService": TASKS}},
            ),
            # A run gets the network of the daemon's own task. The action knows no resource.
            _statement("ec2:DescribeNetworkInterfaces", resources=["*"]),
            # The last lines of a run whose task died.
            _statement("logs:GetLogEvents", resources=[run_log.log_group_arn]),
        ]


def _any_revision(run: ecs.FargateTaskDefinition) -> str:
    """A run that was queued before a deployment starts with the new revision."""
    return Stack.of(run).format_arn(
        service="ecs", resource="task-definition", resource_name=f"{run.family}:*"
    )


def _statement(
    *actions: str, resources: list[str], conditions: Conditions | None = None
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=list(actions), resources=resources, conditions=dict(conditions or {})
    )
