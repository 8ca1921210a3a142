"""The live page: one task of Dagster's image, which reads only, behind its own login.

Add what the page alone needs here; what every task has belongs to `task_definitions`.
"""

from aws_cdk import Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from deploy.aws.base_stack import BaseStack
from deploy.aws.environment import ContainerVariables
from deploy.aws.exceptions import accept
from deploy.aws.task_definitions import Container, log_group, task_definition
from polygon_assets.service_sizes import PAGE_SIZE
from polygon_assets.settings.page import PAGE_PORT

NAME = "page"
PROBE = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{PAGE_PORT}/liveness', timeout=5)"
WRITABLE = {"CKV_AWS_336": "libraries cache below /tmp, and ECS Exec needs a writable root"}


class PageService(Construct):
    """The page's service, to which no load balancer leads (deploy/aws/README.md)."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        base: BaseStack,
        cluster: ecs.ICluster,
        variables: ContainerVariables,
    ) -> None:
        super().__init__(scope, name)
        Tags.of(self).add("part", NAME)
        container = Container(
            name=NAME,
            size=PAGE_SIZE,
            image=base.storage.dagster_images,
            image_tag=variables.deployment.image_tag,
            role=base.roles.page,
            variables=variables.of_page(),
            secrets=base.secrets.of_page(),
            command=[NAME, "--host=0.0.0.0", f"--port={PAGE_PORT}"],
            health_command=["python", "-c", PROBE],
            read_only=False,
            ports=[PAGE_PORT],
        )
        self.service = ecs.FargateService(
            self,
            "Service",
            service_name="polygon-assets-page",
            cluster=cluster,
            task_definition=task_definition(self, container, log_group(self, NAME), WRITABLE),
            desired_count=1,
            min_healthy_percent=0,
            max_healthy_percent=100,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            enable_execute_command=True,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            security_groups=[base.network.page],
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        accept(
            base.roles.page.node.find_child("DefaultPolicy"),
            CKV_AWS_111="the channels of ECS Exec know no resource of their own",
        )
