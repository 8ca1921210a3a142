"""The live page: one task of Dagster's image, which reads only, behind its own login.

Add what the page alone needs here; what every task has belongs to `task_definitions`.
"""

from aws_cdk import Tags
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from deploy.aws.base_stack import BaseStack
from deploy.aws.environment import ContainerVariables
from deploy.aws.exceptions import accept
from deploy.aws.fargate_service import fargate_service
from deploy.aws.task_definitions import PART, Container, log_group, task_definition
from polygon_assets.service_sizes import PAGE_SIZE
from polygon_assets.settings.page import PAGE_PORT

NAME = "page"
PROBE = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{PAGE_PORT}/liveness', timeout=5)"


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
        Tags.of(self).add(PART, NAME)
        container = Container(
            name=NAME,
            size=PAGE_SIZE,
            image=base.storage.dagster_images,
            image_tag=variables.deployment.image_tag,
            role=base.roles.page,
            variables=variables.of_page(),
            secrets=base.secrets.of_page(),
            secrets_key=base.secrets.key_by_arn,
            command=[NAME, "--host=0.0.0.0", f"--port={PAGE_PORT}"],
            health_command=["python", "-c", PROBE],
            # The way to the page (deploy/aws/README.md); its logins may only read.
            has_shell=True,
            ports=[PAGE_PORT],
        )
        self.service = fargate_service(
            self,
            name="polygon-assets-page",
            cluster=cluster,
            task=task_definition(self, container, log_group(self, NAME)),
            security_group=base.network.page,
            has_shell=container.has_shell,
        )
        accept(
            base.roles.page.node.find_child("DefaultPolicy"),
            CKV_AWS_111="the channels of ECS Exec know no resource of their own",
        )
