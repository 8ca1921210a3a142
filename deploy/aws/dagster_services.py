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
from deploy.aws.rights import DagsterTask
from deploy.aws.task_definitions import (
    LONGEST_STOP_SECONDS,
    PART,
    Container,
    family,
    log_group,
    task_definition,
)
from polygon_assets.service_sizes import DAGSTER_SIZES

NAMESPACE, CODE_HOST = "polygon-assets.internal", "code"
"""The webserver and the daemon find the code server at code.polygon-assets.internal
(deploy/aws/workspace.yaml)."""
WEB_PORT = 3000
WORKSPACE = "deploy/aws/workspace.yaml"
HOME = "/app/deploy/aws"
"""DAGSTER_HOME: the folder of dagster.yaml in the image."""
PARTS = ("vendor", "producer", "sink", "gap_filler", "airbyte", "warehouse")
"""Checks, sensors and runs reach every system; the webserver and the daemon reach none."""
OPTIONAL_PARTS = ("connect",)
"""They work where their own settings are set."""
RUN: DagsterTask = "run"
"""Of the container, as EcsRunLauncher expects it, and of the tasks' tag."""
PROBE = "import urllib.request as r; r.urlopen('http://127.0.0.1:{}/server_info', timeout=5)"


@dataclass(frozen=True)
class Process:
    """One process of Dagster: a service's, or that of every run."""

    size: str
    entry_point: Sequence[str]
    health_command: Sequence[str] = ()
    ports: Sequence[int] = ()
    has_our_code: bool = False
    """Whether it evaluates our code, which needs the logins of every system."""


PROCESSES: Mapping[DagsterTask, Process] = {
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
        has_our_code=True,
    ),
}
# EcsRunLauncher sets the command, and leaves the entry point. An empty one would be dropped from
# the template, and the image's would stay.
RUN_PROCESS = Process("runs", ["env"], has_our_code=True)


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
        self.run_log = log_group(Construct(self, "RunLog"), RUN)
        self.run = self._run_definition()
        self.names = discovery.PrivateDnsNamespace(
            self, "Names", name=NAMESPACE, vpc=base.network.vpc
        )
        self.services: Mapping[str, ecs.FargateService] = {
            task: self._service(task, process) for task, process in PROCESSES.items()
        }
        accept(
            base.roles.dagster["webserver"].node.find_child("DefaultPolicy"),
            CKV_AWS_111="the channels of ECS Exec know no resource of their own",
        )

    def _run_definition(self) -> ecs.FargateTaskDefinition:
        """Of every run."""
        scope = Construct(self, "Run")
        Tags.of(scope).add(PART, RUN)
        return task_definition(scope, self._container(RUN, RUN_PROCESS), self.run_log)

    def _service(self, task: DagsterTask, process: Process) -> ecs.FargateService:
        scope = Construct(self, task.capitalize())
        Tags.of(scope).add(PART, f"dagster-{task}")
        container = self._container(task, process)
        service = fargate_service(
            scope,
            name=f"polygon-assets-dagster-{task}",
            cluster=self._cluster,
            task=task_definition(scope, container, log_group(scope, task)),
            security_group=self._base.network.dagster,
            has_shell=container.has_shell,
        )
        if task == "code":
            service.enable_cloud_map(
                name=CODE_HOST, cloud_map_namespace=self.names, dns_ttl=Duration.seconds(10)
            )
        return service

    def _container(self, task: DagsterTask, process: Process) -> Container:
        base, variables = self._base, self._variables
        return Container(
            name=task,
            size=DAGSTER_SIZES[process.size],
            image=base.storage.dagster_images,
            image_tag=variables.deployment.image_tag,
            role=base.roles.dagster[task],
            variables={**self._variables_of(task, process), "DAGSTER_HOME": HOME},
            secrets={**self._secrets_of(process), **base.database.login},
            secrets_key=base.secrets.key_by_arn,
            command=[],
            entry_point=process.entry_point,
            health_command=process.health_command or None,
            stop_seconds=LONGEST_STOP_SECONDS,
            # The way to the UI, which has no login of its own (deploy/aws/README.md). Whoever has
            # the shell reaches the login of PostgreSQL, and no other system's.
            has_shell=task == "webserver",
            ports=process.ports,
        )

    def _variables_of(self, task: DagsterTask, process: Process) -> Mapping[str, str]:
        """Run monitoring with resuming creates the launcher in every process, also in a run."""
        code = self._variables.of_our_code() if process.has_our_code else {}
        # A definition cannot name its own ARN. The others get the ARN, which is of one revision: an
        # update of the definition then replaces them too.
        definition = family(RUN) if task == RUN else self.run.task_definition_arn
        return {**code, **self._variables.of_instance(), "DAGSTER_RUN_TASK_DEFINITION": definition}

    def _secrets_of(self, process: Process) -> Mapping[str, ecs.Secret]:
        if not process.has_our_code:
            return {}
        secrets = self._base.secrets
        return {**secrets.of_parts(*PARTS, *OPTIONAL_PARTS), **secrets.of_alerts()}
