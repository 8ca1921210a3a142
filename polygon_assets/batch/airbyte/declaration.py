"""What this project declares in an Airbyte workspace, made from the settings and the manifest.

Add a declared object or field here; comparing it with a workspace belongs to `workspace_plan`.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polygon_assets.batch.airbyte.connector import (
    CONNECTIONS,
    Stream,
    provisioned_manifest,
    streams,
)
from polygon_assets.clients.airbyte.transport import AirbyteError, Json
from polygon_assets.required_settings import not_set
from polygon_assets.settings import Settings

NAME = "polygon"
"""Name of the connector and of its source."""
DESTINATION = "snowflake"
"""Name of the destination, and Airbyte's name of its connector."""
SCHEMA = "RAW"
TICKERS = "open_close_tickers"
NEVER_UPDATED = ("start_date", TICKERS)
"""Source settings that are written once, when the source is created."""
CONNECTION_FIELDS: Mapping[str, Any] = {
    "status": "active",
    # Dagster's schedules start the syncs.
    "schedule": {"scheduleType": "manual"},
    "nonBreakingSchemaUpdatesBehavior": "ignore",
    "namespaceDefinition": "destination",
    "prefix": "",
}
"""Fields of a connection beside its streams; the last three have Airbyte's defaults."""

SOURCE_SECRETS = frozenset({"api_key"})
DESTINATION_SECRETS = frozenset(
    {"credentials.password", "credentials.private_key", "credentials.private_key_password"}
)
"""Paths of a configuration's secrets; the plan neither compares nor shows their values."""


class ProvisionError(AirbyteError):
    """The workspace cannot be made as declared; the message names the object and the cure."""


@dataclass(frozen=True)
class Declaration:
    """What the workspace should have."""

    manifest: Json
    source: Json = field(repr=False)
    destination: Json = field(repr=False)
    connections: Mapping[str, Sequence[Stream]]
    writes_secrets: bool = False
    """Whether secrets are written although Airbyte does not show if they differ."""


def declaration(
    settings: Settings, start_date: dt.date, *, writes_secrets: bool = False
) -> Declaration:
    """The declaration; `start_date` is the first day of a new source's daily streams.

    Raises ProvisionError for empty settings.
    """
    _refuse_missing_settings(settings)
    return Declaration(
        # Airbyte stores the manifest as JSON, so it is compared as JSON.
        manifest=json.loads(json.dumps(provisioned_manifest(settings.polygon_rest_url))),
        source=source_configuration(settings, start_date),
        destination=destination_configuration(settings),
        connections={
            name: tuple(streams()[stream] for stream in members)
            for name, members in CONNECTIONS.items()
        },
        writes_secrets=writes_secrets,
    )


def source_configuration(settings: Settings, start_date: dt.date) -> Json:
    """The configuration of a new source, by the connector's specification."""
    return {
        "api_key": settings.polygon_api_key.get_secret_value(),
        "base_url": settings.polygon_rest_url,
        "requests_per_minute": settings.polygon_requests_per_minute,
        "start_date": start_date.isoformat(),
        TICKERS: [],
    }


def destination_configuration(settings: Settings) -> Json:
    """The configuration of Airbyte's Snowflake destination.

    A host with a scheme makes the destination use a server that is not Snowflake's own. Without a
    loader of its own, Airbyte logs in as Dagster does.
    """
    has_loader = bool(settings.snowflake_loader_user)
    key = (
        settings.snowflake_loader_private_key if has_loader else settings.snowflake_private_key
    ).get_secret_value()
    address = f"{settings.snowflake_protocol}://{settings.snowflake_host}:{settings.snowflake_port}"
    return {
        "host": address
        if settings.snowflake_host
        else f"{settings.snowflake_account}.snowflakecomputing.com",
        "role": settings.snowflake_loader_role if has_loader else settings.snowflake_role,
        "warehouse": settings.snowflake_warehouse,
        "database": settings.snowflake_database,
        "schema": SCHEMA,
        "username": settings.snowflake_loader_user or settings.snowflake_user,
        "credentials": {"auth_type": "Key Pair Authentication", "private_key": key}
        if key or has_loader
        else {
            "auth_type": "Username and Password",
            "password": settings.snowflake_password.get_secret_value(),
        },
    }


def stream_configuration(stream: Stream) -> Json:
    """The stream in a connection: merged by key if incremental, else it replaces its table."""
    if stream.cursor is None:
        return {"name": stream.name, "syncMode": "full_refresh_overwrite"}
    keys = {"cursorField": [stream.cursor], "primaryKey": [[name] for name in stream.primary_key]}
    return {"name": stream.name, "syncMode": "incremental_deduped_history", **keys}


def connection_body(name: str, members: Sequence[Stream]) -> Json:
    """A new connection in the shape of Airbyte's ConnectionCreateRequest, without the actors."""
    return {
        "name": name,
        "configurations": {"streams": [stream_configuration(stream) for stream in members]},
        **CONNECTION_FIELDS,
    }


def _refuse_missing_settings(settings: Settings) -> None:
    """Raises ProvisionError for empty settings, some of which would only fail the first sync."""
    required = {
        "AIRBYTE_WORKSPACE_ID": settings.airbyte_workspace_id,
        "POLYGON_API_KEY": settings.polygon_api_key.get_secret_value(),
        "SNOWFLAKE_USER": settings.snowflake_user,
        "SNOWFLAKE_PRIVATE_KEY": settings.snowflake_private_key.get_secret_value()
        or settings.snowflake_password.get_secret_value(),
    }
    if settings.snowflake_loader_user:
        loader_key = settings.snowflake_loader_private_key.get_secret_value()
        required |= {
            "SNOWFLAKE_LOADER_PRIVATE_KEY": loader_key,
            "SNOWFLAKE_LOADER_ROLE": settings.snowflake_loader_role,
        }
    if not settings.snowflake_host:
        required |= {
            "SNOWFLAKE_ACCOUNT": settings.snowflake_account,
            "SNOWFLAKE_ROLE": settings.snowflake_role,
            "SNOWFLAKE_WAREHOUSE": settings.snowflake_warehouse,
        }
    if missing := [name for name, value in required.items() if not value]:
        raise ProvisionError(f"Airbyte cannot be set up; {not_set(missing)}")
