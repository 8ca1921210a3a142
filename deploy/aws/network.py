"""The network: a VPC over several zones, and who may open a connection to whom.

Add a security group or a route here; the resources behind the groups belong to their own modules.
"""

from urllib.parse import urlsplit

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.aws.deployment import Deployment
from deploy.aws.exceptions import accept
from polygon_assets.messages import PROGRAMS

HTTPS = 443
METRICS_PORT = 9770
"""Of the producer; the others have the next three (`inspection.probe.metrics_port`)."""
POSTGRES = 5432
CODE_SERVER = 4000
"""The port of Dagster's code server."""
KAFKA_PORTS = {"msk": 9096, "confluent": 9092}
"""SASL over TLS: SCRAM at MSK, PLAIN at Confluent Cloud."""


class Network(Construct):
    """Tasks live in private subnets and go out through NAT; data live in subnets without a way out.

    No port is open to the internet.
    """

    def __init__(self, scope: Construct, name: str, deployment: Deployment) -> None:
        super().__init__(scope, name)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            availability_zones=deployment.availability_zones,
            nat_gateways=deployment.nat_gateways,
            subnet_configuration=[
                _subnets("Public", ec2.SubnetType.PUBLIC, 24),
                _subnets("Tasks", ec2.SubnetType.PRIVATE_WITH_EGRESS, 22),
                _subnets("Data", ec2.SubnetType.PRIVATE_ISOLATED, 24),
            ],
        )
        # The archive's uploads pass by the NAT gateway, which charges for each GB.
        self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        self._log_flows()
        self.programs = self._group("Programs", "stream programs")
        self.dagster = self._group("Dagster", "services and runs of Dagster")
        self.page = self._group("Page", "the live page")
        self.database = self._group("Database", "the database of Dagster")
        self.brokers = self._group("Brokers", "Kafka brokers")
        self._connect(deployment)
        if deployment.metrics_security_group:
            self._let_scrape(deployment.metrics_security_group)

    def _connect(self, deployment: Deployment) -> None:
        """Open the ports that are needed, and no other."""
        everywhere = ec2.Peer.any_ipv4()
        kafka = KAFKA_PORTS[deployment.kafka]
        brokers: ec2.IPeer = self.brokers if deployment.kafka == "msk" else everywhere
        for tasks in (self.programs, self.dagster, self.page):
            tasks.add_egress_rule(everywhere, ec2.Port.tcp(HTTPS), "AWS, the vendor, services")
            clickhouse = deployment.settings.clickhouse_port
            if clickhouse != HTTPS:
                tasks.add_egress_rule(everywhere, ec2.Port.tcp(clickhouse), "ClickHouse")
        for tasks in (self.programs, self.dagster):
            tasks.add_egress_rule(brokers, ec2.Port.tcp(kafka), "Kafka")
            self.brokers.add_ingress_rule(tasks, ec2.Port.tcp(kafka), "SASL over TLS")
        if port := _connect_port(deployment.settings.kafka_connect_url):
            self.dagster.add_egress_rule(everywhere, ec2.Port.tcp(port), "Kafka Connect")
        self.dagster.add_egress_rule(self.database, ec2.Port.tcp(POSTGRES), "the database")
        self.database.add_ingress_rule(self.dagster, ec2.Port.tcp(POSTGRES), "Dagster")
        self.dagster.add_egress_rule(self.dagster, ec2.Port.tcp(CODE_SERVER), "the code server")
        self.dagster.add_ingress_rule(self.dagster, ec2.Port.tcp(CODE_SERVER), "Dagster")

    def _let_scrape(self, security_group: str) -> None:
        scraper = ec2.SecurityGroup.from_security_group_id(
            self, "Scraper", security_group, mutable=False
        )
        first, last = METRICS_PORT, METRICS_PORT + len(PROGRAMS) - 1
        self.programs.add_ingress_rule(scraper, ec2.Port.tcp_range(first, last), "metrics")

    def _group(self, name: str, members: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self,
            name,
            vpc=self.vpc,
            description=f"polygon_assets: {members}",
            allow_all_outbound=False,
        )

    def _log_flows(self) -> None:
        """Rejected connections only: they name a missing rule, and accepted ones cost by the GB."""
        group = logs.LogGroup(
            self,
            "FlowLogs",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        accept(
            group,
            CKV_AWS_158="CloudWatch encrypts each group with its own key; flows are no secrets",
        )
        self.vpc.add_flow_log(
            "Rejected",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(group),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )


def _connect_port(url: str) -> int | None:
    """The port of Connect's REST API; None where there is none, or where it is open anyway."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": HTTPS}.get(parts.scheme)
    return None if port == HTTPS else port


def _subnets(name: str, kind: ec2.SubnetType, mask: int) -> ec2.SubnetConfiguration:
    # Nothing but the NAT gateways is in a public subnet, and those have addresses of their own.
    public_address = False if kind is ec2.SubnetType.PUBLIC else None
    return ec2.SubnetConfiguration(
        name=name, subnet_type=kind, cidr_mask=mask, map_public_ip_on_launch=public_address
    )
