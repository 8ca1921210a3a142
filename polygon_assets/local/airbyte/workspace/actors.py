"""Stores sources and destinations, which Airbyte handles alike and calls actors.

Add checks and changes of actors here; the schema of a configuration comes from `workspace`.
"""

import uuid
from collections.abc import Callable

import msgspec

from polygon_assets.local.airbyte.api.problems import not_found
from polygon_assets.local.airbyte.workspace import configuration
from polygon_assets.local.airbyte.workspace.documents import Documents
from polygon_assets.local.airbyte.workspace.objects import Actor, Json


class Actors:
    """All actors of one kind (`source`, `destination`).

    `specification` returns the configuration's schema for a definition's id, or raises Problem.
    """

    def __init__(
        self, kind: str, documents: Documents[Actor], specification: Callable[[str], Json]
    ) -> None:
        self.kind = kind
        self._documents = documents
        self._specification = specification

    def all(self) -> list[Actor]:
        return self._documents.all()

    def get(self, identifier: str) -> Actor:
        """The actor with this id. Raises Problem 404."""
        actor = self._documents.get(identifier)
        if not actor:
            raise not_found(self.kind, identifier)
        return actor

    def create(self, name: str, definition_id: str, content: Json, now: int) -> Actor:
        """Store a new actor.

        Raises Problem 404 for an unknown definition, 422 for a configuration that does not fit.
        """
        configuration.check(self._specification(definition_id), content)
        actor = Actor(
            id=str(uuid.uuid4()),
            name=name,
            definition_id=definition_id,
            configuration=content,
            created_at=now,
        )
        return self._documents.put(actor.id, actor)

    def patch(self, identifier: str, name: str, changes: Json) -> Actor:
        """Change these fields, and the name unless it is empty. Raises Problem 404 or 422."""
        old = self.get(identifier)
        return self.put(
            identifier, name or old.name, configuration.merged(old.configuration, changes)
        )

    def put(self, identifier: str, name: str, content: Json) -> Actor:
        """Replace name and configuration; a masked secret keeps its value.

        Raises Problem 404 or 422.
        """
        old = self.get(identifier)
        content = configuration.unmasked(content, old.configuration)
        configuration.check(self._specification(old.definition_id), content)
        return self._documents.put(
            identifier, msgspec.structs.replace(old, name=name, configuration=content)
        )

    def delete(self, identifier: str) -> None:
        """Delete an actor. Raises Problem 404."""
        self._documents.delete(self.get(identifier).id)

    def masked(self, actor: Actor) -> Json:
        """The actor's configuration with masked secrets."""
        return configuration.masked(self._specification(actor.definition_id), actor.configuration)
