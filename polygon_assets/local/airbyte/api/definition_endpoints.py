"""The endpoints of declarative source definitions, that is of connectors made from a manifest."""

from msgspec import Struct

from polygon_assets.local.airbyte.api.http import Call, Endpoint
from polygon_assets.local.airbyte.workspace.objects import Definition, Json
from polygon_assets.local.airbyte.workspace.workspace import Workspace


class DefinitionRequest(Struct):
    """To create one, or, without a name, to give it another manifest."""

    manifest: Json
    name: str = ""


class DefinitionEndpoints:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def endpoints(self) -> list[Endpoint]:
        all_of_them = "/workspaces/{workspace}/definitions/declarative_sources"
        one = all_of_them + "/{id}"
        return [
            Endpoint("GET", all_of_them, self._list),
            Endpoint("POST", all_of_them, self._create),
            Endpoint("GET", one, lambda call: _reply(self._workspace.definition(call.path["id"]))),
            Endpoint(
                "PUT",
                one,
                lambda call: _reply(
                    self._workspace.redefine(call.path["id"], call.read(DefinitionRequest).manifest)
                ),
            ),
            Endpoint(
                "DELETE",
                one,
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
