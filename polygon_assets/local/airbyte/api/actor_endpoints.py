"""The endpoints of sources and destinations.

Add an endpoint about actors here; checking and storing them belongs to `workspace.actors`.
"""

from collections.abc import Callable

from msgspec import Struct, field

from polygon_assets.local.airbyte.api.http import Call, Endpoint
from polygon_assets.local.airbyte.api.problems import unprocessable
from polygon_assets.local.airbyte.sync import destination
from polygon_assets.local.airbyte.workspace.actors import Actors
from polygon_assets.local.airbyte.workspace.objects import Actor, Json
from polygon_assets.local.airbyte.workspace.workspace import Workspace


class ActorRequest(Struct, rename="camel"):
    """A request to create or replace an actor, or, with fewer fields, to change one."""

    name: str = ""
    workspace_id: str | None = None
    definition_id: str | None = None
    configuration: Json = field(default_factory=dict)

    @property
    def connector(self) -> object:
        """The connector's name, which a request carries inside the configuration."""
        return self.configuration.get("sourceType") or self.configuration.get("destinationType")

    @property
    def content(self) -> Json:
        """The configuration without the connector's name."""
        return {
            name: value
            for name, value in self.configuration.items()
            if name not in ("sourceType", "destinationType")
        }

    def check_name(self) -> None:
        """Raise Problem 422 for an empty name."""
        if not self.name:
            raise unprocessable("request body: name is missing")


class ActorEndpoints:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def endpoints(self) -> list[Endpoint]:
        workspace = self._workspace
        return [
            *self._endpoints(
                "/sources", workspace.sources, self._source_definition, workspace.delete_source
            ),
            *self._endpoints(
                "/destinations",
                workspace.destinations,
                _destination_definition,
                workspace.delete_destination,
            ),
        ]

    def _endpoints(
        self,
        path: str,
        actors: Actors,
        definition_of: Callable[[ActorRequest], str],
        delete: Callable[[str], None],
    ) -> list[Endpoint]:
        def create(call: Call) -> Json:
            request = call.read(ActorRequest)
            self._workspace.check_id(request.workspace_id)
            request.check_name()
            return self._reply(
                actors,
                actors.create(request.name, definition_of(request), request.content, int(call.now)),
            )

        def patch(call: Call) -> Json:
            request = call.read(ActorRequest)
            return self._reply(actors, actors.patch(call.path["id"], request.name, request.content))

        def put(call: Call) -> Json:
            request = call.read(ActorRequest)
            request.check_name()
            return self._reply(actors, actors.put(call.path["id"], request.name, request.content))

        return [
            Endpoint(
                "GET",
                path,
                lambda call: call.page(
                    [self._reply(actors, actor) for actor in self._filtered(actors, call)]
                ),
            ),
            Endpoint("POST", path, create),
            Endpoint(
                "GET", path + "/{id}", lambda call: self._reply(actors, actors.get(call.path["id"]))
            ),
            Endpoint("PATCH", path + "/{id}", patch),
            Endpoint("PUT", path + "/{id}", put),
            Endpoint("DELETE", path + "/{id}", lambda call: delete(call.path["id"])),
        ]

    def _filtered(self, actors: Actors, call: Call) -> list[Actor]:
        return list(actors.all()) if call.matches("workspaceIds", self._workspace.id) else []

    def _source_definition(self, request: ActorRequest) -> str:
        if not request.definition_id:
            raise unprocessable("definitionId is missing: this server has custom connectors only")
        return self._workspace.definition(request.definition_id).id

    def _reply(self, actors: Actors, actor: Actor) -> Json:
        return {
            f"{actors.kind}Id": actor.id,
            "name": actor.name,
            # A custom connector has no type.
            f"{actors.kind}Type": destination.KIND if actors.kind == "destination" else "",
            "definitionId": actor.definition_id,
            "workspaceId": self._workspace.id,
            # Airbyte's own client chooses the destination's model by this field.
            "configuration": (
                {"destinationType": destination.KIND} if actors.kind == "destination" else {}
            )
            | actors.masked(actor),
            "createdAt": actor.created_at,
        }


def _destination_definition(request: ActorRequest) -> str:
    if request.connector != destination.KIND and request.definition_id != destination.DEFINITION_ID:
        raise unprocessable(
            f"this server has one destination: give destinationType {destination.KIND!r} in the "
            "configuration"
        )
    return destination.DEFINITION_ID
