"""The environment variables of the containers: the deployment's, and names of our resources.

Add a variable here that follows from a resource; secrets belong to `secrets`. Every name is one of
polygon_assets/settings, or one that Dagster's instance reads (deploy/aws/dagster.yaml).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.aws.deployment import Deployment
from deploy.aws.kafka import LOGIN
from deploy.aws.network import METRICS_PORT
from deploy.aws.storage import Storage
from polygon_assets.provisioning.clickhouse.declaration import READER
from polygon_assets.provisioning.snowflake.declaration import declare


@dataclass(frozen=True)
class ContainerVariables:
    """What the containers of a deployment get."""

    deployment: Deployment
    storage: Storage
    cluster_name: str

    def of_programs(self) -> Mapping[str, str]:
        protocol, mechanism = LOGIN[self.deployment.kafka]
        return {
            **self.deployment.environment,
            "KAFKA_SECURITY_PROTOCOL": protocol,
            "KAFKA_SASL_MECHANISM": mechanism,
            "AWS_REGION": self.deployment.region,
            "SUBSCRIPTIONS_BUCKET": self.storage.subscriptions.bucket_name,
            "ARCHIVE_BUCKET": self.storage.archive.bucket_name,
            "METRICS_PORT": str(METRICS_PORT),
            # The health check runs in the container. A security group opens the port only where the
            # deployment names who scrapes it.
            "METRICS_HOST": "0.0.0.0",
        }

    def of_our_code(self) -> Mapping[str, str]:
        """In Dagster: the same, and who runs the stream programs."""
        return {**self.of_programs(), "STREAM_RUNNER": "ecs", "ECS_CLUSTER": self.cluster_name}

    def of_instance(self) -> Mapping[str, str]:
        """What Dagster's own classes read."""
        return {
            "DAGSTER_LOGS_BUCKET": self.storage.run_logs.bucket_name,
            # boto3, which they use without a region, reads only this name.
            "AWS_DEFAULT_REGION": self.deployment.region,
        }

    def of_page(self) -> Mapping[str, str]:
        """The deployment's variables, but the users that may only read."""
        [snowflake] = [role for role in declare(self.deployment.settings, {}).roles if role.reads]
        return {
            **self.deployment.environment,
            "CLICKHOUSE_USER": READER,
            "SNOWFLAKE_USER": snowflake.user,
            "SNOWFLAKE_ROLE": snowflake.name,
        }
