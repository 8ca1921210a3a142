"""Reads an Airbyte workspace (Cloud or self-managed) and changes it to what is declared.

Add how an object is read or changed here; what is declared belongs to `declaration`, differences to
`workspace_plan`, starting syncs to `defs.batch.airbyte_sync`. Applying again keeps the connections'
states, the source's first day and its tickers.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from polygon_assets.batch.airbyte.connector import CONNECTIONS, DAILY_CONNECTION
from polygon_assets.batch.airbyte.connector_state import with_new_tickers
from polygon_assets.batch.airbyte.declaration import (
    DESTINATION,
    NAME,
    TICKERS,
    Declaration,
    ProvisionError,
    declaration,
)
from polygon_assets.batch.airbyte.workspace_plan import Change, Plan, WorkspaceState
from polygon_assets.batch.airbyte.workspace_plan import plan as differences
from polygon_assets.clients.airbyte.api import AirbyteApi
from polygon_assets.clients.airbyte.transport import AirbyteError, Json
from polygon_assets.settings import Settings

OPEN_CLOSE_STREAM = "daily_open_close"


@dataclass(frozen=True)
class Provisioned:
    """Ids in the workspace, and the changes in words, without secrets."""

    definition_id: str
    source_id: str
    destination_id: str
    connection_ids: Mapping[str, str]
    changes: tuple[str, ...]


def provision(settings: Settings, start_date: dt.date) -> Provisioned:
    """Make the workspace as declared, secrets included, without asking.

    Raises ProvisionError or AirbyteError.
    """
    declared = declaration(settings, start_date, writes_secrets=True)
    with closing(AirbyteApi(settings)) as api:
        shown = read_plan(api, declared)
        if shown.refusals:
            raise ProvisionError("\n".join(shown.refusals))
        changes = tuple(str(change) for change in apply(api, shown))
        ids = read_plan(api, declared).identifiers
    return Provisioned(
        ids[f"connector {NAME}"],
        ids[f"source {NAME}"],
        ids[f"destination {DESTINATION}"],
        {name: ids[f"connection {name}"] for name in CONNECTIONS},
        changes,
    )


def read_plan(api: AirbyteApi, declared: Declaration) -> Plan:
    """Read the workspace and compare it; changes nothing. Raises AirbyteError."""
    connections = api.connections()
    own = [item for item in connections if item["name"] in declared.connections]
    return differences(
        declared,
        WorkspaceState(
            definitions=api.definitions(),
            sources=api.sources(),
            destinations=api.destinations(),
            connections=connections,
            catalogs={item["connectionId"]: api.catalog(item["connectionId"]) for item in own},
        ),
    )


def apply(api: AirbyteApi, shown: Plan) -> Iterator[Change]:
    """Make the changes of a plan, each yielded once it is made.

    Raises AirbyteError, which leaves the earlier changes made; applying again makes the others.
    """
    ids = dict(shown.identifiers)
    discovered = False
    for change in shown.changes:
        if "configurations" in change.body and not discovered:
            _discover(api, ids[f"source {NAME}"])
            discovered = True
        try:
            ids[change.title] = _make(api, change, ids)
        except AirbyteError as error:
            if error.status != 409:
                raise
            raise AirbyteError(
                f"{change.title}: {error}; somebody else may have changed the workspace: run "
                "`polygon-assets airbyte plan` again",
                error.status,
            ) from error
        yield change


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


def _discover(api: AirbyteApi, source_id: str) -> None:
    """Make Airbyte read the connector's streams again: it caches those of the old manifest.

    Raises ProvisionError if a declared stream is not among them.
    """
    offered = {item["streamName"] for item in api.stream_properties(source_id, fresh=True)}
    declared = {name for members in CONNECTIONS.values() for name in members}
    if missing := sorted(declared - offered):
        raise ProvisionError(
            f"source {NAME} offers no stream {', '.join(missing)} in workspace "
            f"{api.workspace_id} (it offers {', '.join(sorted(offered)) or 'none'}); no connection "
            "was changed: open the source in Airbyte and read the error of its schema"
        )


def _make(api: AirbyteApi, change: Change, ids: Mapping[str, str]) -> str:
    """Create or change one object; returns its id."""
    match change.kind, bool(change.identifier):
        case "connector", False:
            return str(api.create_definition(NAME, change.body["manifest"])["id"])
        case "connector", True:
            api.update_definition(change.identifier, change.body["manifest"])
        case "source", False:
            definition_id = ids[f"connector {NAME}"]
            created = api.create_source(NAME, definition_id, change.body["configuration"])
            return str(created["sourceId"])
        case "source", True:
            api.patch_source(change.identifier, change.body)
        case "destination", False:
            created = api.create_destination(DESTINATION, DESTINATION, change.body["configuration"])
            return str(created["destinationId"])
        case "destination", True:
            api.put_destination(change.identifier, DESTINATION, change.body["configuration"])
        case "connection", False:
            ends = {
                "sourceId": ids[f"source {NAME}"],
                "destinationId": ids[f"destination {DESTINATION}"],
            }
            return str(api.create_connection({**change.body, **ends})["connectionId"])
        case _:
            _patch_connection(api, change)
    return change.identifier


def _patch_connection(api: AirbyteApi, change: Change) -> None:
    """Change a connection, and put back each state that had to stay but did not."""
    if "configurations" not in change.body:
        api.patch_connection(change.identifier, change.body)
        return
    before = api.states(change.identifier)
    api.patch_connection(change.identifier, change.body)
    after = api.states(change.identifier)
    lost = {
        stream: state
        for stream, state in before.items()
        if stream in change.kept_states and stream not in after
    }
    if lost:
        api.put_states(change.identifier, {**after, **lost})


def _source(api: AirbyteApi) -> Json:
    source = next((item for item in api.sources() if item["name"] == NAME), None)
    if not source:
        raise AirbyteError(
            f"workspace {api.workspace_id} has no source {NAME!r}: create it with "
            "`polygon-assets airbyte apply`"
        )
    return source


def _tickers(source: Json) -> list[str]:
    return list(source["configuration"].get(TICKERS, []))
