"""The secrets of outside systems: one for each system, and which part of the project gets it.

Add a system's secret here; the database's own belongs to `database`. The secrets of other systems
are created without a value, so that no placeholder can reach a server: a task whose secret has no
value does not start, and ECS names the secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import RemovalPolicy, aws_ecs, aws_kms, aws_secretsmanager
from constructs import Construct

from deploy.aws.deployment import Deployment
from deploy.aws.exceptions import accept
from polygon_assets.required_settings import REQUIRED_SETTINGS

PREFIX = "polygon-assets/"
MSK_PREFIX = "AmazonMSK_"
"""MSK accepts no secret of another name."""

OWN_LOGIN = aws_secretsmanager.SecretStringGenerator(
    secret_string_template='{"username": "polygon_assets"}',
    generate_string_key="password",
    exclude_punctuation=True,
)
"""Of our own brokers: nobody else issues it, and MSK asks for it while it creates the cluster."""


@dataclass(frozen=True)
class SecretOfSystem:
    """A JSON object in Secrets Manager: by variable, the key of its value."""

    system: str
    endpoint: str
    """The setting that leads to the system: parts that require it get the secret."""
    keys: dict[str, str]
    login: str = ""
    """The setting of a user, where the system may ask for no login."""

    def needed_by(self, parts: Sequence[str]) -> bool:
        return any(self.endpoint in REQUIRED_SETTINGS[part] for part in parts)


POLYGON = SecretOfSystem("polygon", "polygon_api_key", {"POLYGON_API_KEY": "POLYGON_API_KEY"})
KAFKA = SecretOfSystem(
    "kafka",
    "kafka_bootstrap_servers",
    # The keys are those that MSK prescribes.
    {"KAFKA_SASL_USERNAME": "username", "KAFKA_SASL_PASSWORD": "password"},
)
CLICKHOUSE = SecretOfSystem(
    "clickhouse", "clickhouse_host", {"CLICKHOUSE_PASSWORD": "CLICKHOUSE_PASSWORD"}
)
SNOWFLAKE = SecretOfSystem(
    "snowflake", "snowflake_account", {"SNOWFLAKE_PRIVATE_KEY": "SNOWFLAKE_PRIVATE_KEY"}
)
AIRBYTE = SecretOfSystem(
    "airbyte", "airbyte_workspace_id", {"AIRBYTE_CLIENT_SECRET": "AIRBYTE_CLIENT_SECRET"}
)
CONNECT = SecretOfSystem(
    "connect",
    "kafka_connect_url",
    {"KAFKA_CONNECT_PASSWORD": "KAFKA_CONNECT_PASSWORD"},
    login="kafka_connect_user",
)
SYSTEMS = (POLYGON, KAFKA, CLICKHOUSE, SNOWFLAKE, AIRBYTE, CONNECT)
ALERTS = "ALERT_WEBHOOK_URL"
PAGE = ("CLICKHOUSE_PASSWORD", "PAGE_PASSWORD", "PAGE_COOKIE_SECRET")
"""The page's own: its users in ClickHouse and Snowflake may only read."""


class Secrets(Construct):
    """The secrets, under one key: only roles that may use the key can read them."""

    def __init__(self, scope: Construct, name: str, deployment: Deployment) -> None:
        super().__init__(scope, name)
        # MSK refuses a secret that is encrypted with Secrets Manager's own key.
        self.key = aws_kms.Key(
            self,
            "Key",
            description="polygon_assets: secrets",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        # By its ARN: CDK would write who may decrypt into the key's own policy, which would name
        # roles of the other stack, and that one depends on this. `task_definitions` grants it.
        self.key_by_arn = aws_kms.Key.from_key_arn(self, "KeyByArn", self.key.key_arn)
        self._by_system = {
            system.system: self._secret(_title(system), _name(system, deployment))
            for system in SYSTEMS
            if _is_used(system, deployment)
        }
        self._alerts = (
            self._secret("Alerts", f"{PREFIX}alerts") if deployment.alert_webhook else None
        )
        self._page = self._secret("Page", f"{PREFIX}page")
        self._page_variables = [*PAGE, *(SNOWFLAKE.keys if _is_used(SNOWFLAKE, deployment) else ())]

    def of_parts(self, *parts: str) -> dict[str, aws_ecs.Secret]:
        """By variable, what the parts need of the systems that are used."""
        return {
            variable: aws_ecs.Secret.from_secrets_manager(self._by_system[system.system], key)
            for system in SYSTEMS
            if system.system in self._by_system and system.needed_by(parts)
            for variable, key in system.keys.items()
        }

    def of_alerts(self) -> dict[str, aws_ecs.Secret]:
        if self._alerts is None:
            return {}
        return {ALERTS: aws_ecs.Secret.from_secrets_manager(self._alerts, ALERTS)}

    def of_page(self) -> dict[str, aws_ecs.Secret]:
        return {
            variable: aws_ecs.Secret.from_secrets_manager(self._page, variable)
            for variable in self._page_variables
        }

    def of_system(self, system: SecretOfSystem) -> aws_secretsmanager.Secret:
        return self._by_system[system.system]

    def _secret(self, title: str, name: str) -> aws_secretsmanager.Secret:
        secret = aws_secretsmanager.Secret(
            self,
            title,
            secret_name=name,
            encryption_key=self.key_by_arn,
            generate_secret_string=OWN_LOGIN,
            removal_policy=RemovalPolicy.RETAIN,
        )
        resource = secret.node.default_child
        assert isinstance(resource, aws_secretsmanager.CfnSecret)
        if not name.startswith(MSK_PREFIX):
            # CDK would generate a value.
            resource.generate_secret_string = None
        accept(
            secret,
            CKV2_AWS_57="the other system issues the value, so a person replaces it there and here",
        )
        return secret


def _is_used(system: SecretOfSystem, deployment: Deployment) -> bool:
    """Whether the deployment has the system: each stream needs the first three."""
    always = system in (POLYGON, KAFKA, CLICKHOUSE)
    return always or (system.login or system.endpoint).upper() in deployment.environment


def _title(system: SecretOfSystem) -> str:
    return system.system.capitalize()


def _name(system: SecretOfSystem, deployment: Deployment) -> str:
    if system is KAFKA and deployment.kafka == "msk":
        return f"{MSK_PREFIX}polygon-assets"
    return PREFIX + system.system
