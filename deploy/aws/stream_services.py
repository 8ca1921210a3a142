"""The services of the stream programs, which Dagster scales and which outlive its runs.

Add what holds for each stream program here; more sinks while messages wait belong to
`sink_scaling`, Dagster's own services to `dagster_services`.
"""

from collections.abc import Mapping

from aws_cdk import Duration, Tags, TimeZone
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_servicediscovery as discovery
from constructs import Construct

from deploy.aws.base_stack import BaseStack
from deploy.aws.environment import ContainerVariables
from deploy.aws.fargate_service import fargate_service
from deploy.aws.task_definitions import (
    PART,
    Container,
    log_group,
    stop_seconds,
    task_definition,
)
from polygon_assets.clients.ecs import service_name
from polygon_assets.messages import PROGRAMS, ProgramName
from polygon_assets.service_hours import scheduled_scaling
from polygon_assets.service_sizes import stream_sizes


class StreamServices(Construct):
    """One service for each program, created with desired count 0: Dagster raises it.

    An update of a service sets it to 0 as well. Its tasks drain, and the run of Dagster starts them
    again within seconds, with the new image.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        base: BaseStack,
        cluster: ecs.ICluster,
        variables: ContainerVariables,
    ) -> None:
        super().__init__(scope, name)
        self.services: Mapping[ProgramName, StreamService] = {
            program: StreamService(self, program, base, cluster, variables) for program in PROGRAMS
        }

    def name_in(self, names: discovery.INamespace) -> None:
        """Give each program's tasks a name, such as producer.polygon-assets.internal."""
        for program, stream in self.services.items():
            stream.service.enable_cloud_map(
                name=program, cloud_map_namespace=names, dns_ttl=Duration.seconds(10)
            )


class StreamService(Construct):
    """The service of one program, its scheduled hours and its log."""

    def __init__(
        self,
        scope: Construct,
        program: ProgramName,
        base: BaseStack,
        cluster: ecs.ICluster,
        variables: ContainerVariables,
    ) -> None:
        super().__init__(scope, program.capitalize())
        deployment = variables.deployment
        self.log_group = log_group(self, program)
        container = _container(program, base, variables)
        copies = deployment.settings.copies(program)
        self.service = fargate_service(
            self,
            name=service_name(deployment.settings, program),
            cluster=cluster,
            task=task_definition(self, container, self.log_group),
            security_group=base.network.programs,
            tasks=0,
            least_healthy_percent=50 if copies > 1 else 0,
            # Dagster, which raises the service, reports a task that does not start.
            rolls_back=False,
        )
        Tags.of(self).add(PART, program)
        most = deployment.sinks_at_most if program == "sink" else copies
        self.scaling = self._scale_by_the_clock(copies, most)

    def _scale_by_the_clock(self, copies: int, most: int) -> ecs.ScalableTaskCount:
        """Outside the hours the limits are 0, also at the creation."""
        scaling = self.service.auto_scale_task_count(min_capacity=0, max_capacity=most)
        for action in scheduled_scaling(copies, most):
            scaling.scale_on_schedule(
                action.name,
                schedule=autoscaling.Schedule.expression(action.schedule),
                time_zone=TimeZone.of(action.time_zone),
                min_capacity=action.min_tasks,
                max_capacity=action.max_tasks,
            )
        return scaling


def _container(program: ProgramName, base: BaseStack, variables: ContainerVariables) -> Container:
    settings = variables.deployment.settings
    return Container(
        name=program,
        size=stream_sizes(settings)[program],
        image=base.storage.stream_images,
        image_tag=variables.deployment.image_tag,
        role=base.roles.programs[program],
        variables=variables.of_programs(),
        secrets=base.secrets.of_parts(program),
        secrets_key=base.secrets.key_by_arn,
        command=["stream", program],
        health_command=["polygon-assets", "health", program],
        stop_seconds=stop_seconds(settings.drain_seconds),
    )
