"""The stack of what lasts: network, buckets, images, secrets, database, Kafka, roles, budget.

Add a resource here that must exist before the first image is pushed, or that keeps data; what runs
belongs to `services_stack`.
"""

from typing import Any

from aws_cdk import CfnOutput, Fn, Stack
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from deploy.aws.budget import Budget
from deploy.aws.database import Database
from deploy.aws.deployment import Deployment
from deploy.aws.github import Github
from deploy.aws.kafka import Msk
from deploy.aws.network import Network
from deploy.aws.rights import Roles
from deploy.aws.secrets import Secrets
from deploy.aws.storage import Storage


class BaseStack(Stack):
    """It survives every deployment of the services, and refuses to be deleted."""

    def __init__(self, scope: Construct, name: str, deployment: Deployment, **options: Any) -> None:
        super().__init__(scope, name, termination_protection=True, **options)
        self.network = Network(self, "Network", deployment)
        self.storage = Storage(self, "Storage", deployment.settings)
        self.secrets = Secrets(self, "Secrets", deployment)
        self.database = Database(
            self, "Database", self.network, self.secrets.key_by_arn, deployment
        )
        self.roles = Roles(self, "Roles", self.storage, deployment.settings)
        Budget(self, "Budget", deployment)
        if deployment.kafka == "msk":
            msk = Msk(self, "Kafka", self.network, self.secrets, deployment)
            CfnOutput(self, "KafkaCluster", value=msk.cluster.ref)
        if deployment.github_repository:
            images = (self.storage.stream_images, self.storage.dagster_images)
            Github(self, "Github", deployment, images)
        self._name_what_commands_need()

    def _name_what_commands_need(self) -> None:
        """The commands of the README read these outputs."""
        tasks = self.network.vpc.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)
        for title, value in (
            ("SubscriptionsBucket", self.storage.subscriptions.bucket_name),
            ("ArchiveBucket", self.storage.archive.bucket_name),
            ("StreamImages", self.storage.stream_images.repository_uri),
            ("DagsterImages", self.storage.dagster_images.repository_uri),
            ("TaskSubnets", Fn.join(",", tasks.subnet_ids)),
            ("DagsterSecurityGroup", self.network.dagster.security_group_id),
        ):
            CfnOutput(self, title, value=value)
