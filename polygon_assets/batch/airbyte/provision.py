"""Creates or updates what this project needs in an Airbyte workspace (Cloud or self-managed).

Add workspace objects and their configuration here; starting syncs belongs to
`defs.batch.airbyte_sync`. Provisioning again keeps the connections' states, the source's first day
and its tickers.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from polygon_assets.batch.airbyte.connector import (
    CONNECTIONS,
    DAILY_CONNECTION,
    Stream,
    provisioned_manifest,
    streams,
)
from polygon_assets.batch.airbyte.connector_state import with_new_tickers
from polygon_assets.clients.airbyte.api import AirbyteApi
from polygon_assets.clients.airbyte.transport import AirbyteError
from polygon_assets.required_settings import not_set
from polygon_assets.settings import Settings

NAME = "polygon"
"""Name of the connector and of its source."""
DESTINATION = "snowflake"
SCHEMA = "RAW"
TICKERS = "open_close_tickers"
OPEN_CLOSE_STREAM = "daily_open_close"
_NEVER_UPDATED = ("start_date", TICKERS)
"""Source settings that are written once, when the source is created."""

Json = dict[str, Any]


class ProvisionError(AirbyteError):
    """Settings are missing, or a name in the workspace is taken; the message gives the cure."""


@dataclass(frozen=True)
class Provisioned:
    """Ids in the workspace, and the changes in words; secrets are always sent and never listed."""

    definition_id: str
    source_id: str
    destination_id: str
    connection_ids: Mapping[str, str]
    changes: tuple[str, ...]


def provision(settings: Settings, start_date: dt.date) -> Provisioned:
    """Create or update connector, source, destination and connections.

    `start_date` is the first day of a new source's daily streams; an existing source keeps its own.
    Raises ProvisionError or AirbyteError.
    """
    _refuse_missing_settings(settings)
    with closing(AirbyteApi(settings)) as api:
        return _Workspace(api).provision(settings, start_date)


def open_close_tickers(api: AirbyteApi) -> list[str]:
    """The tickers for which the source reads daily_open_close. Raises AirbyteError."""
    return _tickers(_source(api))


def set_open_close_tickers(api: AirbyteApi, tickers: Iterable[str]) -> list[str]:
    """Replace the tickers of daily_open_close; returns the previous ones. Raises AirbyteError.

    A new ticker is read from the source's first day on. The state is stored before the list, so a
    second call after a failure in between completes the change.
    """
    source = _source(api)
    before, wanted = _tickers(source), sorted(set(tickers))
    if before != wanted:
        start_date = dt.date.fromisoformat(source["configuration"]["start_date"])
        _store_state_of_new_tickers(api, wanted, start_date)
        api.patch_source(source["sourceId"], {TICKERS: wanted})
    return before


def _store_state_of_new_tickers(api: AirbyteApi, tickers: list[str], start_date: dt.date) -> None:
    connection_id = api.connection_id(DAILY_CONNECTION)
    states = api.states(connection_id)
    if state := states.get(OPEN_CLOSE_STREAM):
        api.put_states(
            connection_id,
            {**states, OPEN_CLOSE_STREAM: with_new_tickers(state, tickers, start_date)},
        )


class _Workspace:
    """One run over a workspace; collects the changes it makes."""

    def __init__(self, api: AirbyteApi) -> None:
        self._api = api
        self._changes: list[str] = []

    def provision(self, settings: Settings, start_date: dt.date) -> Provisioned:
        definition_id, manifest_changed = self._definition(settings.polygon_rest_url)
        source_id = self._source(settings, definition_id, start_date)
        destination_id = self._destination(settings)
        if manifest_changed:
            # Airbyte caches the schema that it discovered with the old manifest.
            self._api.stream_properties(source_id, fresh=True)
        existing = _by_name(self._api.connections())
        connection_ids = {
            name: self._connection(
                name, existing.get(name), source_id, destination_id, manifest_changed
            )
            for name in CONNECTIONS
        }
        return Provisioned(
            definition_id, source_id, destination_id, connection_ids, tuple(self._changes)
        )

    def _definition(self, base_url: str) -> tuple[str, bool]:
        """The connector's id, and whether an existing connector got another manifest."""
        # Airbyte stores the manifest as JSON, so it is compared as JSON.
        wanted: Json = json.loads(json.dumps(provisioned_manifest(base_url)))
        existing = _by_name(self._api.definitions()).get(NAME)
        if not existing:
            self._changes.append(f"connector {NAME}: created")
            return str(self._api.create_definition(NAME, wanted)["id"]), False
        changed = existing["manifest"] != wanted
        if changed:
            version = self._api.update_definition(existing["id"], wanted)["version"]
            self._changes.append(f"connector {NAME}: manifest updated to version {version}")
        return str(existing["id"]), changed

    def _source(self, settings: Settings, definition_id: str, start_date: dt.date) -> str:
        wanted = source_configuration(settings, start_date)
        existing = _by_name(self._api.sources()).get(NAME)
        if not existing:
            self._changes.append(f"source {NAME}: created, from {start_date}")
            return str(self._api.create_source(NAME, definition_id, wanted)["sourceId"])
        if existing["definitionId"] != definition_id:
            raise ProvisionError(
                f"source {NAME} in workspace {self._api.workspace_id} belongs to another "
                f"connector than {NAME}: rename it or delete it"
            )
        updated = {name: value for name, value in wanted.items() if name not in _NEVER_UPDATED}
        after = self._api.patch_source(existing["sourceId"], updated)
        self._note_changes(f"source {NAME}", existing["configuration"], after["configuration"])
        return str(existing["sourceId"])

    def _destination(self, settings: Settings) -> str:
        wanted = destination_configuration(settings)
        existing = _by_name(self._api.destinations()).get(DESTINATION)
        if not existing:
            self._changes.append(f"destination {DESTINATION}: created")
            created = self._api.create_destination(DESTINATION, DESTINATION, wanted)
            return str(created["destinationId"])
        after = self._api.put_destination(existing["destinationId"], DESTINATION, wanted)
        self._note_changes(
            f"destination {DESTINATION}", existing["configuration"], after["configuration"]
        )
        return str(existing["destinationId"])

    def _connection(
        self,
        name: str,
        existing: Json | None,
        source_id: str,
        destination_id: str,
        manifest_changed: bool,
    ) -> str:
        configurations = [_stream_configuration(streams()[stream]) for stream in CONNECTIONS[name]]
        if not existing:
            self._changes.append(f"connection {name}: created")
            wanted = _connection(name, source_id, destination_id, configurations)
            return str(self._api.create_connection(wanted)["connectionId"])
        if (existing["sourceId"], existing["destinationId"]) != (source_id, destination_id):
            raise ProvisionError(
                f"connection {name} in workspace {self._api.workspace_id} does not lead from "
                f"source {NAME} to destination {DESTINATION}: rename it"
            )
        if manifest_changed or not _fits(existing, configurations):
            self._api.patch_connection(
                existing["connectionId"], {"configurations": {"streams": configurations}}
            )
            self._changes.append(f"connection {name}: streams updated")
        return str(existing["connectionId"])

    def _note_changes(self, changed_object: str, before: Json, after: Json) -> None:
        changed = sorted(
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        )
        if changed:
            self._changes.append(f"{changed_object}: {', '.join(changed)} updated")


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

    A host with a scheme makes the destination use a server that is not Snowflake's own.
    """
    key = settings.snowflake_private_key.get_secret_value()
    address = f"{settings.snowflake_protocol}://{settings.snowflake_host}:{settings.snowflake_port}"
    return {
        "host": address
        if settings.snowflake_host
        else f"{settings.snowflake_account}.snowflakecomputing.com",
        "role": settings.snowflake_role,
        "warehouse": settings.snowflake_warehouse,
        "database": settings.snowflake_database,
        "schema": SCHEMA,
        "username": settings.snowflake_user,
        "credentials": {"auth_type": "Key Pair Authentication", "private_key": key}
        if key
        else {
            "auth_type": "Username and Password",
            "password": settings.snowflake_password.get_secret_value(),
        },
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
    if not settings.snowflake_host:
        required |= {
            "SNOWFLAKE_ACCOUNT": settings.snowflake_account,
            "SNOWFLAKE_ROLE": settings.snowflake_role,
            "SNOWFLAKE_WAREHOUSE": settings.snowflake_warehouse,
        }
    if missing := [name for name, value in required.items() if not value]:
        raise ProvisionError(f"Airbyte cannot be set up; {not_set(missing)}")


def _source(api: AirbyteApi) -> Json:
    source = _by_name(api.sources()).get(NAME)
    if not source:
        raise AirbyteError(
            f"workspace {api.workspace_id} has no source {NAME!r}: create it with "
            "`polygon-assets airbyte provision`"
        )
    return source


def _tickers(source: Json) -> list[str]:
    return list(source["configuration"].get(TICKERS, []))


def _stream_configuration(stream: Stream) -> Json:
    """The stream in a connection: merged by key if incremental, else it replaces its table."""
    if stream.cursor is None:
        return {"name": stream.name, "syncMode": "full_refresh_overwrite"}
    keys = {"cursorField": [stream.cursor], "primaryKey": [[name] for name in stream.primary_key]}
    return {"name": stream.name, "syncMode": "incremental_deduped_history", **keys}


def _connection(name: str, source_id: str, destination_id: str, configurations: list[Json]) -> Json:
    return {
        "name": name,
        "sourceId": source_id,
        "destinationId": destination_id,
        "configurations": {"streams": configurations},
        "schedule": {"scheduleType": "manual"},
        "namespaceDefinition": "destination",
        "nonBreakingSchemaUpdatesBehavior": "ignore",
        "status": "active",
    }


def _fits(connection: Json, configurations: list[Json]) -> bool:
    """Whether the connection has exactly these streams; Airbyte adds fields of its own."""
    streams_by_name = {stream["name"]: stream for stream in connection["configurations"]["streams"]}
    wanted_by_name = {stream["name"]: stream for stream in configurations}
    return streams_by_name.keys() == wanted_by_name.keys() and all(
        streams_by_name[name].get(setting) == value
        for name, wanted in wanted_by_name.items()
        for setting, value in wanted.items()
    )


def _by_name(objects: Iterable[Json]) -> dict[str, Json]:
    return {str(json_object["name"]): json_object for json_object in objects}
