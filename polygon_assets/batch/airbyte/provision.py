"""What an Airbyte workspace (Cloud, self-managed or the embedded server) must contain for this project, made or brought up to date.

Repeatable, and never a step back: what the workspace learnt stays, that is the states of its connections, the first day and the tickers.
Syncs are started elsewhere.
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
    manifest,
    streams,
)
from polygon_assets.batch.airbyte.connector_state import with_new_tickers
from polygon_assets.clients.airbyte import AirbyteApi, AirbyteError
from polygon_assets.settings import Settings

NAME = "polygon"
"""Of the connector and of its source."""
DESTINATION = "snowflake"
SCHEMA = "RAW"
TICKERS = "open_close_tickers"
OPEN_CLOSE_STREAM = "daily_open_close"
_KEPT = ("start_date", TICKERS)

Json = dict[str, Any]


class ProvisionError(AirbyteError):
    """The settings do not say enough; the message names the variables."""


@dataclass(frozen=True)
class Provisioned:
    """The ids in the workspace, and what had to be changed, in words; secrets are sent each time without being mentioned."""

    definition_id: str
    source_id: str
    destination_id: str
    connection_ids: Mapping[str, str]
    changes: tuple[str, ...]


def provision(settings: Settings, start_date: dt.date) -> Provisioned:
    """Create or update connector, source, destination and connections. Raises ProvisionError or AirbyteError.

    `start_date` is the first day of the daily streams of a source that is new; one that is there keeps its own.
    """
    _check(settings)
    with closing(AirbyteApi(settings)) as api:
        return _Workspace(api).provision(settings, start_date)


def open_close_tickers(api: AirbyteApi) -> list[str]:
    """The tickers of which the source reads daily_open_close. Raises AirbyteError."""
    return _tickers(_source(api))


def set_open_close_tickers(api: AirbyteApi, tickers: Iterable[str]) -> list[str]:
    """Make these the tickers of daily_open_close; returns those it had before. Raises AirbyteError.

    A new one is read from the source's first day on. First the state, then the list: done in part, it is done as a whole the next time.
    """
    source = _source(api)
    before, wanted = _tickers(source), sorted(set(tickers))
    if before != wanted:
        _begin_new_tickers(
            api, wanted, dt.date.fromisoformat(source["configuration"]["start_date"])
        )
        api.patch_source(source["sourceId"], {TICKERS: wanted})
    return before


def _begin_new_tickers(api: AirbyteApi, tickers: list[str], start_date: dt.date) -> None:
    connection_id = api.connection_id(DAILY_CONNECTION)
    states = api.states(connection_id)
    if known := states.get(OPEN_CLOSE_STREAM):
        api.put_states(
            connection_id,
            {**states, OPEN_CLOSE_STREAM: with_new_tickers(known, tickers, start_date)},
        )


class _Workspace:
    """One run over a workspace; collects what it changes."""

    def __init__(self, api: AirbyteApi) -> None:
        self._api = api
        self._changes: list[str] = []

    def provision(self, settings: Settings, start_date: dt.date) -> Provisioned:
        definition_id, manifest_changed = self._definition()
        source_id = self._source(settings, definition_id, start_date)
        destination_id = self._destination(settings)
        if manifest_changed:
            # Airbyte keeps the schema it discovered with the old manifest.
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

    def _definition(self) -> tuple[str, bool]:
        """Its id, and whether a known one got another manifest."""
        # As JSON has it, which is how Airbyte keeps it.
        wanted: Json = json.loads(json.dumps(manifest()))
        found = _by_name(self._api.definitions()).get(NAME)
        if not found:
            self._changes.append(f"connector {NAME}: created")
            return str(self._api.create_definition(NAME, wanted)["id"]), False
        changed = found["manifest"] != wanted
        if changed:
            version = self._api.update_definition(found["id"], wanted)["version"]
            self._changes.append(f"connector {NAME}: manifest updated to version {version}")
        return str(found["id"]), changed

    def _source(self, settings: Settings, definition_id: str, start_date: dt.date) -> str:
        wanted = source_configuration(settings, start_date)
        found = _by_name(self._api.sources()).get(NAME)
        if not found:
            self._changes.append(f"source {NAME}: created, from {start_date}")
            return str(self._api.create_source(NAME, definition_id, wanted)["sourceId"])
        if found["definitionId"] != definition_id:
            raise ProvisionError(
                f"source {NAME} in workspace {self._api.workspace_id} is of another connector: rename it or delete it"
            )
        wanted = {name: value for name, value in wanted.items() if name not in _KEPT}
        after = self._api.patch_source(found["sourceId"], wanted)
        self._note(f"source {NAME}", found["configuration"], after["configuration"])
        return str(found["sourceId"])

    def _destination(self, settings: Settings) -> str:
        wanted = destination_configuration(settings)
        found = _by_name(self._api.destinations()).get(DESTINATION)
        if not found:
            self._changes.append(f"destination {DESTINATION}: created")
            return str(
                self._api.create_destination(DESTINATION, DESTINATION, wanted)["destinationId"]
            )
        after = self._api.put_destination(found["destinationId"], DESTINATION, wanted)
        self._note(f"destination {DESTINATION}", found["configuration"], after["configuration"])
        return str(found["destinationId"])

    def _connection(
        self,
        name: str,
        found: Json | None,
        source_id: str,
        destination_id: str,
        manifest_changed: bool,
    ) -> str:
        choices = [_choice(streams()[stream]) for stream in CONNECTIONS[name]]
        if not found:
            self._changes.append(f"connection {name}: created")
            return str(
                self._api.create_connection(_connection(name, source_id, destination_id, choices))[
                    "connectionId"
                ]
            )
        if (found["sourceId"], found["destinationId"]) != (source_id, destination_id):
            raise ProvisionError(
                f"connection {name} in workspace {self._api.workspace_id} is not from {NAME} to {DESTINATION}: rename it"
            )
        if manifest_changed or not _fits(found, choices):
            self._api.patch_connection(
                found["connectionId"], {"configurations": {"streams": choices}}
            )
            self._changes.append(f"connection {name}: streams updated")
        return str(found["connectionId"])

    def _note(self, what: str, before: Json, after: Json) -> None:
        changed = sorted(
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        )
        if changed:
            self._changes.append(f"{what}: {', '.join(changed)} updated")


def source_configuration(settings: Settings, start_date: dt.date) -> Json:
    """The configuration of a new source, as the connector's specification has it."""
    return {
        "api_key": settings.polygon_api_key.get_secret_value(),
        "base_url": settings.polygon_rest_url,
        "requests_per_minute": settings.polygon_requests_per_minute,
        "start_date": start_date.isoformat(),
        TICKERS: [],
    }


def destination_configuration(settings: Settings) -> Json:
    """In the fields of Airbyte's Snowflake destination. Its host may have a scheme, which leads to a server that is not Snowflake's own."""
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


def _check(settings: Settings) -> None:
    """Airbyte itself would refuse some of it and take the rest for granted until the first sync."""
    needed = {
        "AIRBYTE_WORKSPACE_ID": settings.airbyte_workspace_id,
        "POLYGON_API_KEY": settings.polygon_api_key.get_secret_value(),
        "SNOWFLAKE_USER": settings.snowflake_user,
        "SNOWFLAKE_PRIVATE_KEY": settings.snowflake_private_key.get_secret_value()
        or settings.snowflake_password.get_secret_value(),
    }
    if not settings.snowflake_host:
        needed |= {
            "SNOWFLAKE_ACCOUNT": settings.snowflake_account,
            "SNOWFLAKE_ROLE": settings.snowflake_role,
            "SNOWFLAKE_WAREHOUSE": settings.snowflake_warehouse,
        }
    if missing := [name for name, value in needed.items() if not value]:
        raise ProvisionError(
            f"Airbyte cannot be set up without {', '.join(missing)}: set them (see deploy/env.example)"
        )


def _source(api: AirbyteApi) -> Json:
    found = _by_name(api.sources()).get(NAME)
    if not found:
        raise AirbyteError(
            f"workspace {api.workspace_id} has no source {NAME!r}: create it with `polygon-assets airbyte provision`"
        )
    return found


def _tickers(source: Json) -> list[str]:
    return list(source["configuration"].get(TICKERS, []))


def _choice(stream: Stream) -> Json:
    """The stream in a connection: increments are merged by the key, what is read whole replaces its table."""
    if stream.cursor is None:
        return {"name": stream.name, "syncMode": "full_refresh_overwrite"}
    keys = {"cursorField": [stream.cursor], "primaryKey": [[name] for name in stream.primary_key]}
    return {"name": stream.name, "syncMode": "incremental_deduped_history", **keys}


def _connection(name: str, source_id: str, destination_id: str, choices: list[Json]) -> Json:
    return {
        "name": name,
        "sourceId": source_id,
        "destinationId": destination_id,
        "configurations": {"streams": choices},
        "schedule": {"scheduleType": "manual"},
        "namespaceDefinition": "destination",
        "nonBreakingSchemaUpdatesBehavior": "ignore",
        "status": "active",
    }


def _fits(connection: Json, choices: list[Json]) -> bool:
    """Whether each stream is there as chosen, and no other; Airbyte adds fields of its own."""
    existing = {stream["name"]: stream for stream in connection["configurations"]["streams"]}
    return existing.keys() == {choice["name"] for choice in choices} and all(
        existing[choice["name"]].get(name) == value
        for choice in choices
        for name, value in choice.items()
    )


def _by_name(objects: Iterable[Json]) -> dict[str, Json]:
    return {str(one["name"]): one for one in objects}
