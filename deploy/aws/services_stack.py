"""The stack of what runs: the cluster, the stream programs, Dagster, the page, scaling, alarms.

Add what a new image changes here; what must exist before the first image belongs to `base_stack`.
"""

from typing import Any

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from deploy.aws.alarms import Alarms
from deploy.aws.base_stack import BaseStack
from deploy.aws.dagster_rights import DagsterRights
from deploy.aws.dagster_services import DagsterServices
from deploy.aws.deployment import Deployment
from deploy.aws.environment import ContainerVariables
from deploy.aws.exceptions import accept
from deploy.aws.kafka import CLUSTER_NAME
from deploy.aws.page_service import PageService
from deploy.aws.sink_scaling import SinkScaling
from deploy.aws.stream_services import StreamServices

CLUSTER = "polygon-assets"


class ServicesStack(Stack):
    """It contains no data: it may be deleted and deployed again."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        base: BaseStack,
        deployment: Deployment,
        **options: Any,
    ) -> None:
        super().__init__(scope, name, **options)
        cluster = self._cluster(base)
        variables = ContainerVariables(deployment, base.storage, CLUSTER)
        streams = StreamServices(self, "Streams", base, cluster, variables)
        SinkScaling(self, "SinkScaling", streams.services["sink"])
        dagster = DagsterServices(self, "Dagster", base, cluster, variables)
        if deployment.metrics_security_group:
            streams.name_in(dagster.names)
        DagsterRights(
            self,
            "DagsterRights",
            roles=base.roles.dagster,
            cluster=cluster,
            streams={name: stream.service for name, stream in streams.services.items()},
            run=dagster.run,
            run_log=dagster.run_log,
        )
        # The commands of the README read them.
        CfnOutput(self, "ClusterName", value=cluster.cluster_name)
        CfnOutput(self, "RunTaskDefinition", value=dagster.run.family)
        alarms = Alarms(self, "Alarms", deployment.alarm_email)
        alarms.on_services(dagster.services)
        if deployment.page:
            page = PageService(self, "Page", base, cluster, variables)
            alarms.on_services({"page": page.service})
        alarms.on_database(base.database.instance)
        if deployment.kafka == "msk":
            alarms.on_brokers(CLUSTER_NAME, len(deployment.zones))

    def _cluster(self, base: BaseStack) -> ecs.Cluster:
        cluster = ecs.Cluster(self, "Cluster", cluster_name=CLUSTER, vpc=base.network.vpc)
        accept(
            cluster,
            CKV_AWS_65="heartbeats and /metrics have more than Container Insights, which costs "
            "about 0.30 USD for each of a hundred metrics",
        )
        return cluster
