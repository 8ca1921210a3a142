"""Dagster's services (webserver, one daemon, code server) and the task definition of its runs.

Add a service of Dagster here; the rights of Dagster in ECS belong to `dagster_rights`, the stream
programs to `stream_services`. The instance is configured by deploy/aws/dagster.yaml.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, Tags
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_servicediscovery as discovery
from constructs import Construct

from deploy.aws.base_stack import BaseStack
from deploy.aws.environment import ContainerVariables
from deploy.aws.exceptions import accept
from deploy.aws.fargate_service import fargate_service
from deploy.aws.network import CODE_SERVER
from deploy.aws.task_definitions import LONGEST_STOP_SECONDS, Container, log_group, task_definition
from polygon_assets.service_sizes import DAGSTER_SIZES, Size

NAMESPACE, CODE_HOST = "polygon-assets.internal", "code"
"""The webserver and the daemon find the code server at code.polygon-assets.internal
(deploy/aws/workspace.yaml)."""
WEB_PORT = 3000
WORKSPACE = "deploy/aws/workspace.yaml"
HOME = "/app/deploy/aws"
"""DAGSTER_HOME: the folder of dagster.yaml in the image."""
PARTS = ("vendor", "producer", "sink", "gap_filler", "airbyte", "warehouse")
"""Dagster's checks, sensors and runs reach every system."""
RUN_CONTAINER = "run"
"""The name that EcsRunLauncher expects."""
WRITABLE = {
    "CKV_AWS_336": "Dagster writes below /tmp and DAGSTER_HOME, and ECS Exec needs a writable root"
}
PROBE = "import urllib.request as r; r.urlopen('http://127.0.0.1:{}/server_info', timeout=5)"


@dataclass(frozen=True)
class Process:
    """One long-running process of Dagster."""

    size: str
    entry_point: Sequence[str]
    health_command: Sequence[str]
    ports: Sequence[int] = ()


PROCESSES = {
    "webserver": Process(
        "webserver",
        [
            "dagster-webserver",
            "--host=0.0.0.0",
            f"--port={WEB_PORT}",
            f"--workspace={WORKSPACE}",
        ],
        ["python", "-c", PROBE.format(WEB_PORT)],
        [WEB_PORT],
    ),
    "daemon": Process(
        "daemon",
        ["dagster-daemon", "run", f"--workspace={WORKSPACE}"],
        ["dagster-daemon", "liveness-check"],
    ),
    "code": Process(
        "code server",
        [
            "dagster",
            "api",
            "grpc",
            "--host=0.0.0.0",
            f"--port={CODE_SERVER}",
            "--module-name=polygon_assets.definitions",
            "--location-name=polygon_assets",
        ],
        ["dagster", "api", "grpc-health-check", f"--port={CODE_SERVER}"],
        [CODE_SERVER],
    ),
}


class DagsterServices(Construct):
    """Exactly one task of each: an update ends the old daemon before it starts the new one."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        base: BaseStack,
        cluster: ecs.ICluster,
        variables: ContainerVariables,
    ) -> None:
        super().__init__(scope, name)
        self._base, self._cluster, self._variables = base, cluster, variables
        self.run_log = log_group(Construct(self, "RunLog"), "run")
        self.run = self._run_definition()
        names = discovery.PrivateDnsNamespace(self, "Names", name=NAMESPACE, vpc=base.network.vpc)
        self.services: Mapping[str, ecs.FargateService] = {
            process: self._service(process, names) for process in PROCESSES
        }
        accept(
            base.roles.dagster.node.find_child("DefaultPolicy"),
            CKV_AWS_111="the channels of ECS Exec know no resource of their own",
        )

    def _run_definition(self) -> ecs.FargateTaskDefinition:
        """Of every run. EcsRunLauncher sets the command, and leaves the entry point."""
        scope = Construct(self, "Run")
        Tags.of(scope).add("part", "run")
        container = self._container(
            RUN_CONTAINER,
            DAGSTER_SIZES["runs"],
            # An empty entry point would be dropped from the template, and the image's would stay.
            Process("runs", ["env"], []),
            {},
        )
        return task_definition(scope, container, self.run_log, WRITABLE)

    def _service(self, name: str, names: discovery.PrivateDnsNamespace) -> ecs.FargateService:
        process = PROCESSES[name]
        scope = Construct(self, name.capitalize())
        Tags.of(scope).add("part", f"dagster-{name}")
        container = self._container(
            name,
            DAGSTER_SIZES[process.size],
            process,
            {"DAGSTER_RUN_TASK_DEFINITION": self.run.task_definition_arn},
        )
        service = fargate_service(
            scope,
            name=f"polygon-assets-dagster-{name}",
            cluster=self._cluster,
            task=task_definition(scope, container, log_group(scope, name), WRITABLE),
            security_group=self._base.network.dagster,
            # The way to the UI, which has no login of its own (deploy/aws/README.md).
            has_shell=name == "webserver",
        )
        if name == "code":
            service.enable_cloud_map(
                name=CODE_HOST, cloud_map_namespace=names, dns_ttl=Duration.seconds(10)
            )
        return service

    def _container(
        self, name: str, size: Size, process: Process, more: Mapping[str, str]
    ) -> Container:
        base, deployment = self._base, self._variables.deployment
        return Container(
            name=name,
            size=size,
            image=base.storage.dagster_images,
            image_tag=deployment.image_tag,
            role=base.roles.dagster,
            variables={**self._variables.of_dagster(), "DAGSTER_HOME": HOME, **more},
            secrets={
                **base.secrets.of_parts(*PARTS),
                **base.secrets.of_alerts(),
                **base.database.login,
            },
            secrets_key=base.secrets.key_by_arn,
            command=[],
            entry_point=process.entry_point,
            health_command=process.health_command or None,
            stop_seconds=LONGEST_STOP_SECONDS,
            read_only=False,
            ports=process.ports,
        )
