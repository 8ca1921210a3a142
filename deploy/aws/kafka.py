"""Kafka's brokers in this account (MSK), where the deployment does not use Confluent Cloud.

Add a broker's option here; topics belong to `polygon_assets.topics`, which `polygon-assets migrate`
creates. MSK Serverless is no choice: it knows only IAM logins, which our clients do not have.
"""

from aws_cdk import RemovalPolicy, aws_logs, aws_msk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from deploy.aws.deployment import Deployment
from deploy.aws.exceptions import accept
from deploy.aws.network import Network
from deploy.aws.secrets import KAFKA, Secrets

CLUSTER_NAME = "polygon-assets"
VERSION = "3.8.x"
INSTANCE = "kafka.m7g.large"
DISK_GB = 300
"""Of each broker, which has a copy of everything; a test compares it with what the whole market
needs while the retention lasts (`costs.quantities`)."""
SERVER_PROPERTIES = """\
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
offsets.retention.minutes=20160
"""
LOGIN = {"msk": ("SASL_SSL", "SCRAM-SHA-512"), "confluent": ("SASL_SSL", "PLAIN")}
"""By kind of Kafka: KAFKA_SECURITY_PROTOCOL and KAFKA_SASL_MECHANISM."""


class Msk(Construct):
    """One broker in each zone; a message is acknowledged when two brokers have it."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        network: Network,
        secrets: Secrets,
        deployment: Deployment,
    ) -> None:
        super().__init__(scope, name)
        subnets = network.vpc.select_subnets(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
        self.cluster = aws_msk.CfnCluster(
            self,
            "Cluster",
            cluster_name=CLUSTER_NAME,
            kafka_version=VERSION,
            number_of_broker_nodes=len(deployment.zones),
            broker_node_group_info=aws_msk.CfnCluster.BrokerNodeGroupInfoProperty(
                instance_type=INSTANCE,
                client_subnets=subnets.subnet_ids,
                security_groups=[network.brokers.security_group_id],
                storage_info=_disk(),
            ),
            client_authentication=_scram(),
            encryption_info=aws_msk.CfnCluster.EncryptionInfoProperty(
                encryption_in_transit=aws_msk.CfnCluster.EncryptionInTransitProperty(
                    client_broker="TLS", in_cluster=True
                ),
                encryption_at_rest=aws_msk.CfnCluster.EncryptionAtRestProperty(
                    data_volume_kms_key_id=secrets.key.key_arn
                ),
            ),
            configuration_info=self._configuration(),
            logging_info=self._logs(),
        )
        self.cluster.apply_removal_policy(RemovalPolicy.RETAIN)
        aws_msk.CfnBatchScramSecret(
            self,
            "Login",
            cluster_arn=self.cluster.ref,
            secret_arn_list=[secrets.of_system(KAFKA).secret_arn],
        )

    def _configuration(self) -> aws_msk.CfnCluster.ConfigurationInfoProperty:
        configuration = aws_msk.CfnConfiguration(
            self,
            "Configuration",
            name=CLUSTER_NAME,
            server_properties=SERVER_PROPERTIES,
        )
        return aws_msk.CfnCluster.ConfigurationInfoProperty(arn=configuration.attr_arn, revision=1)

    def _logs(self) -> aws_msk.CfnCluster.LoggingInfoProperty:
        group = aws_logs.LogGroup(
            self,
            "Logs",
            log_group_name="/polygon-assets/kafka",
            retention=aws_logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        accept(
            group, CKV_AWS_158="CloudWatch encrypts each group with its own key; no message is here"
        )
        return aws_msk.CfnCluster.LoggingInfoProperty(
            broker_logs=aws_msk.CfnCluster.BrokerLogsProperty(
                cloud_watch_logs=aws_msk.CfnCluster.CloudWatchLogsProperty(
                    enabled=True, log_group=group.log_group_name
                )
            )
        )


def _disk() -> aws_msk.CfnCluster.StorageInfoProperty:
    return aws_msk.CfnCluster.StorageInfoProperty(
        ebs_storage_info=aws_msk.CfnCluster.EBSStorageInfoProperty(volume_size=DISK_GB)
    )


def _scram() -> aws_msk.CfnCluster.ClientAuthenticationProperty:
    return aws_msk.CfnCluster.ClientAuthenticationProperty(
        sasl=aws_msk.CfnCluster.SaslProperty(scram=aws_msk.CfnCluster.ScramProperty(enabled=True))
    )
