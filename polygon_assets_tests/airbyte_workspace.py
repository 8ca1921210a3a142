"""An Airbyte workspace as its public API would show it, without a server.

Differences are made by the tests; the server that answers with it is in airbyte_stub.
"""

from typing import Any

from polygon_assets.batch.airbyte.declaration import Declaration, connection_body
from polygon_assets.batch.airbyte.workspace_plan import WorkspaceState

EMPTY = WorkspaceState((), (), (), (), {})
MASK = "**********"


def as_declared(declared: Declaration) -> WorkspaceState:
    """The workspace after everything was applied, with secrets masked as Airbyte does."""
    credentials = {
        name: value if name == "auth_type" else MASK
        for name, value in declared.destination["credentials"].items()
    }
    source = {"definitionId": "d1", "configuration": {**declared.source, "api_key": MASK}}
    destination = {
        "destinationType": "snowflake",
        "configuration": {
            "destinationType": "snowflake",
            **declared.destination,
            "credentials": credentials,
        },
    }
    bodies = {name: connection_body(name, items) for name, items in declared.connections.items()}
    return WorkspaceState(
        definitions=[{"id": "d1", "name": "polygon", "manifest": declared.manifest, "version": 3}],
        sources=[{"sourceId": "s1", "name": "polygon", **source}],
        destinations=[{"destinationId": "x1", "name": "snowflake", **destination}],
        connections=[
            {**body, "connectionId": name, "sourceId": "s1", "destinationId": "x1"}
            for name, body in bodies.items()
        ],
        catalogs={name: catalog(declared, name) for name in declared.connections},
    )


def catalog(declared: Declaration, name: str) -> list[dict[str, Any]]:
    """`syncCatalog.streams` of a connection in the configuration API."""
    return [
        {
            "stream": {
                "name": stream.name,
                "jsonSchema": {"type": "object", "properties": dict(stream.properties)},
            },
            "config": {"selected": True, "fieldSelectionEnabled": False, "mappers": []},
        }
        for stream in declared.connections[name]
    ]
