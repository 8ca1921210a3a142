"""The choices of one deployment, read from a TOML file: account, region, Kafka, budget, variables.

Add a choice here and to deployment.example.toml; what it changes belongs to the module of the
resource. A variable of the programs needs no choice of its own: `[environment]` takes each one.
"""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from polygon_assets.settings import Settings

SET_BY_INFRASTRUCTURE = frozenset(
    {
        "STREAM_RUNNER",
        "ECS_CLUSTER",
        "ECS_CONTAINER_METADATA_URI_V4",
        "AWS_REGION",
        "SUBSCRIPTIONS_BUCKET",
        "ARCHIVE_BUCKET",
        "METRICS_PORT",
        "METRICS_HOST",
        "KAFKA_SECURITY_PROTOCOL",
        "KAFKA_SASL_MECHANISM",
        "KAFKA_SASL_USERNAME",
    }
)
"""`environment.container_variables`, the secrets or ECS itself set them."""


class FileSettings(Settings):
    """Settings of the file alone: a variable of the shell that deploys must not change a policy."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class DeploymentError(Exception):
    """The deployment file cannot be read or has an unusable value; names the file and the value."""


class Deployment(BaseModel):
    """One deployment of the infrastructure. Sums are in USD."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str = Field(pattern=r"^[0-9]{12}$")
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")
    image_tag: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
    """A tag names one image for ever, because the repositories refuse to overwrite it."""
    kafka: Literal["msk", "confluent"]
    alarm_email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    budget_usd_per_month: int = Field(ge=1)
    zones: tuple[str, ...] = Field(default=("a", "b", "c"), min_length=3, max_length=3)
    """Last letters of three availability zones: Kafka keeps three copies, and goes on with two.
    A choice, because a zone may lack an instance type."""
    nat_gateways: int = Field(default=1, ge=1, le=3)
    """One costs a third of three; if its zone fails, no program reaches the vendor."""
    database_standby: bool = True
    """A second database in another zone: RDS moves to it within two minutes."""
    sinks_at_most: int = Field(default=3, ge=1)
    """While messages wait for the sinks, their number grows from SINK_COPIES to this one."""
    page: bool = True
    """Whether the live page runs; its secret must have a value before."""
    alert_webhook: bool = True
    """Whether alerts are posted to an address, which is stored as a secret."""
    metrics_security_group: str = Field(default="", pattern=r"^$|^sg-[0-9a-f]+$")
    """Of the Prometheus that scrapes the stream programs; empty: nobody reaches their metrics."""
    github_repository: str = Field(default="", pattern=r"^$|^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$")
    """`OWNER/NAME`: its tags may push images, its pull requests may read the stacks. Empty: no
    repository has a role."""
    github_provider: bool = True
    """Whether GitHub is declared as an identity provider: an account has it once, so False where
    another project has declared it."""
    environment: dict[str, str]
    """Variables of polygon_assets/settings that are no secrets."""

    @field_validator("environment")
    @classmethod
    def _are_free_variables(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            _refuse_variable(name)
        return environment

    @property
    def availability_zones(self) -> list[str]:
        return [self.region + letter for letter in self.zones]

    @cached_property
    def settings(self) -> Settings:
        """The programs' settings as far as the file has them; secrets stay empty."""
        return FileSettings.model_validate(
            {name.lower(): value for name, value in self.environment.items()}
        )


def _refuse_variable(name: str) -> None:
    field = Settings.model_fields.get(name.lower())
    if field is None or name != name.upper():
        raise ValueError(f"{name} is no variable of polygon_assets/settings: correct its name")
    if field.annotation is SecretStr:
        raise ValueError(f"{name} is a secret: store it in Secrets Manager (deploy/aws/README.md)")
    if name in SET_BY_INFRASTRUCTURE:
        raise ValueError(f"{name} is set by the infrastructure: remove it")


def _check_sinks(deployment: Deployment) -> None:
    """Raises DeploymentError, and ValidationError where a variable has an unusable value."""
    settings = deployment.settings
    # A consumer group gives each partition to one member: more sinks would wait for work.
    if not settings.sink_copies <= deployment.sinks_at_most <= settings.kafka_partitions:
        raise DeploymentError(
            f"sinks_at_most = {deployment.sinks_at_most} must lie between SINK_COPIES = "
            f"{settings.sink_copies} and KAFKA_PARTITIONS = {settings.kafka_partitions}"
        )


def read(path: Path) -> Deployment:
    """The deployment of a file. Raises DeploymentError."""
    try:
        deployment = Deployment.model_validate(tomllib.loads(path.read_text()))
        _check_sinks(deployment)
    except OSError as error:
        raise DeploymentError(
            f"{path}: {error.strerror}; copy deploy/aws/deployment.example.toml to it and edit it"
        ) from error
    except (tomllib.TOMLDecodeError, ValidationError, DeploymentError) as error:
        raise DeploymentError(f"{path}: {error}") from error
    return deployment
