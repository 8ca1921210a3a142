"""The database of Dagster: runs, events, schedules and cursors.

Add an option of the database here; its connection belongs to `dagster_services`.
"""

from aws_cdk import Duration, RemovalPolicy, aws_ecs
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from constructs import Construct

from deploy.aws.deployment import Deployment
from deploy.aws.exceptions import accept
from deploy.aws.network import POSTGRES, Network

DATABASE = "dagster"
BACKUP_DAYS = 7
STORAGE_GB, MOST_STORAGE_GB = 20, 100
"""14 days of runs take about 1 GB; the storage grows by itself."""


class Database(Construct):
    """PostgreSQL in subnets without a way out, with a password that nobody chose."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        network: Network,
        key: kms.IKey,
        deployment: Deployment,
    ) -> None:
        super().__init__(scope, name)
        engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_18)
        self.instance = rds.DatabaseInstance(
            self,
            "Postgres",
            engine=engine,
            # A burstable instance: an event costs the client 2.4 ms, a day has some ten thousand.
            instance_type=ec2.InstanceType("t4g.small"),
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[network.database],
            port=POSTGRES,
            database_name=DATABASE,
            credentials=rds.Credentials.from_generated_secret(DATABASE, encryption_key=key),
            parameter_group=self._parameters(engine),
            allocated_storage=STORAGE_GB,
            max_allocated_storage=MOST_STORAGE_GB,
            storage_encrypted=True,
            multi_az=deployment.database_standby,
            backup_retention=Duration.days(BACKUP_DAYS),
            copy_tags_to_snapshot=True,
            auto_minor_version_upgrade=True,
            cloudwatch_logs_exports=["postgresql", "upgrade"],
            deletion_protection=True,
            removal_policy=RemovalPolicy.SNAPSHOT,
        )
        self._accept(deployment)

    @property
    def login(self) -> dict[str, aws_ecs.Secret]:
        """The variables that deploy/aws/dagster.yaml names, from the generated secret."""
        secret = self.instance.secret
        assert secret is not None, "credentials from a generated secret have one"
        keys = {"HOST": "host", "USERNAME": "username", "PASSWORD": "password", "DB": "dbname"}
        return {
            f"DAGSTER_POSTGRES_{variable}": aws_ecs.Secret.from_secrets_manager(secret, key)
            for variable, key in keys.items()
        }

    def _parameters(self, engine: rds.IInstanceEngine) -> rds.ParameterGroup:
        return rds.ParameterGroup(
            self,
            "Parameters",
            engine=engine,
            parameters={
                "rds.force_ssl": "1",
                # Only changes of the schema and slow statements: each event is a statement.
                "log_statement": "ddl",
                "log_min_duration_statement": "1000",
            },
        )

    def _accept(self, deployment: Deployment) -> None:
        accept(
            self.instance,
            CKV_AWS_118="CloudWatch's metrics each minute are enough for Dagster's few statements",
            CKV_AWS_161="Dagster's storage takes a password, not tokens of fifteen minutes",
            CKV_AWS_353="the same as CKV_AWS_118",
        )
        if not deployment.database_standby:
            accept(self.instance, CKV_AWS_157="database_standby is off in the deployment file")
