"""The endpoints of declarative source definitions: connectors made from a manifest.

Add an endpoint about definitions here; storing them belongs to `workspace.workspace`.
"""

from msgspec import Struct

from polygon_assets.local.airbyte.api.http import Call, Endpoint
from polygon_assets.local.airbyte.workspace.objects import Definition, Json
from polygon_assets.local.airbyte.workspace.workspace import Workspace


class DefinitionRequest(Struct):
    """A request to create a definition, or, without a name, to replace its manifest."""

    manifest: Json
    name: str = ""


class DefinitionEndpoints:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def endpoints(self) -> list[Endpoint]:
        collection = "/workspaces/{workspace}/definitions/declarative_sources"
        item = collection + "/{id}"
        return [
            Endpoint("GET", collection, self._list),
            Endpoint("POST", collection, self._create),
            Endpoint("GET", item, lambda call: _reply(self._workspace.definition(call.path["id"]))),
            Endpoint(
                "PUT",
                item,
                lambda call: _reply(
                    self._workspace.redefine(call.path["id"], call.read(DefinitionRequest).manifest)
                ),
            ),
            Endpoint(
                "DELETE",
                item,
                lambda call: _reply(self._workspace.delete_definition(call.path["id"])),
            ),
        ]

    def _list(self, call: Call) -> Json:
        self._workspace.check_id(call.path["workspace"])
        return {"data": [_reply(definition) for definition in self._workspace.definitions()]}

    def _create(self, call: Call) -> Json:
        self._workspace.check_id(call.path["workspace"])
        request = call.read(DefinitionRequest)
        return _reply(
            self._workspace.define(request.name or "custom", request.manifest, int(call.now))
        )


def _reply(definition: Definition) -> Json:
    return {
        "id": definition.id,
        "name": definition.name,
        "manifest": definition.manifest,
        "version": definition.version,
    }
