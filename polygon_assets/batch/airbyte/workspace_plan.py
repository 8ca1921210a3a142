"""The differences between the declared Airbyte workspace and a real one: pure functions.

Add a difference here; what is declared belongs to `declaration`, how a part of a connection is
compared to `connection_plan`, and reading or changing the workspace to `provision`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from polygon_assets.batch.airbyte.connection_plan import compare_connection, schedule_text
from polygon_assets.batch.airbyte.declaration import (
    DESTINATION,
    DESTINATION_SECRETS,
    NAME,
    NEVER_UPDATED,
    SOURCE_SECRETS,
    Declaration,
    connection_body,
)
from polygon_assets.batch.airbyte.differences import (
    Difference,
    configuration_differences,
    differences,
)
from polygon_assets.clients.airbyte.transport import Json

MANIFEST_LINES = 12
"""Differences of a manifest that are shown; the others are counted."""
MOVES = {"host", "database", "schema"}
"""Fields of the destination that lead to other tables."""


@dataclass(frozen=True)
class WorkspaceState:
    """What the workspace has, in the shape of Airbyte's public API."""

    definitions: Sequence[Json]
    sources: Sequence[Json]
    destinations: Sequence[Json]
    connections: Sequence[Json]
    catalogs: Mapping[str, Sequence[Json]]
    """By id of our connections, `syncCatalog.streams` of the configuration API."""


@dataclass(frozen=True)
class Change:
    """An object that is created, or changed where it has an identifier."""

    kind: str
    name: str
    lines: tuple[str, ...]
    """What is created, or each field as `field: from -> to`; without secrets."""
    body: Json = field(repr=False)
    """What is sent, beside names and the ids of other objects; it may hold secrets."""
    identifier: str = ""
    kept_states: frozenset[str] = frozenset()
    """Streams of a connection whose state Airbyte must keep."""

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"

    def __str__(self) -> str:
        mark = f"~ {self.title}: " if self.identifier else f"+ create {self.title}: "
        return "\n".join(mark + line for line in self.lines)


@dataclass(frozen=True)
class Plan:
    """What `apply` changes, what it leaves to a person, and what it does not touch."""

    changes: Sequence[Change]
    refusals: Sequence[str]
    same: Sequence[str]
    """Titles of our objects without a difference."""
    notes: Sequence[str]
    identifiers: Mapping[str, str]
    """By title, the ids of our objects that exist."""

    @property
    def has_differences(self) -> bool:
        return bool(self.changes or self.refusals)

    def lines(self) -> list[str]:
        """The plan as it is printed."""
        same = [f"= {title}" for title in self.same]
        return [*map(str, self.changes), *self.refusals, *same, *self.notes]


@dataclass(frozen=True)
class _Comparison:
    """One declared object beside the existing one."""

    title: str
    identifier: str = ""
    change: Change | None = None
    refusals: tuple[str, ...] = ()
    blocked: bool = False
    """Whether objects that depend on this one cannot be made."""


def plan(declaration: Declaration, workspace: WorkspaceState) -> Plan:
    """Every difference, in the order in which it is applied."""
    connector = _connector(declaration, workspace)
    source = _source(declaration, workspace, connector)
    destination = _destination(declaration, workspace)
    comparisons = [
        connector,
        source,
        destination,
        *(
            _connection(declaration, workspace, name, source, destination)
            for name in declaration.connections
        ),
    ]
    return Plan(
        changes=[item.change for item in comparisons if item.change],
        refusals=[refusal for item in comparisons for refusal in item.refusals],
        same=[item.title for item in comparisons if not (item.change or item.refusals)],
        notes=[*_foreign(declaration, workspace, source), *_secrets_note(declaration, source)],
        identifiers={item.title: item.identifier for item in comparisons if item.identifier},
    )


def _connector(declaration: Declaration, workspace: WorkspaceState) -> _Comparison:
    title = f"connector {NAME}"
    existing, ambiguous = _own(title, NAME, workspace.definitions, "id")
    if ambiguous:
        return ambiguous
    wanted = declaration.manifest
    if not existing:
        text = f"manifest of version {wanted['version']} with {len(wanted['streams'])} streams"
        return _Comparison(title, change=Change("connector", NAME, (text,), {"manifest": wanted}))
    changed = differences(wanted, existing["manifest"])
    if not changed:
        return _Comparison(title, str(existing["id"]))
    lines = [f"manifest.{difference}" for difference in changed[:MANIFEST_LINES]]
    if hidden := len(changed) - len(lines):
        lines.append(f"manifest: {hidden} more differences")
    lines.append(f"version {existing['version']} -> the next; Airbyte keeps the old one")
    change = Change("connector", NAME, tuple(lines), {"manifest": wanted}, str(existing["id"]))
    return _Comparison(title, str(existing["id"]), change)


def _source(
    declaration: Declaration, workspace: WorkspaceState, connector: _Comparison
) -> _Comparison:
    title = f"source {NAME}"
    existing, ambiguous = _own(title, NAME, workspace.sources, "sourceId")
    if blocked := ambiguous or _blocked(title, connector):
        return blocked
    if not existing:
        text = f"from {declaration.source['start_date']}, {declaration.source['base_url']}"
        body = {"configuration": declaration.source}
        return _Comparison(title, change=Change("source", NAME, (text,), body))
    identifier = str(existing["sourceId"])
    if existing["definitionId"] != connector.identifier:
        return _refused(
            title,
            f"belongs to another connector than {NAME} (definition {existing['definitionId']}): "
            "rename it or delete it",
        )
    wanted = {
        name: value for name, value in declaration.source.items() if name not in NEVER_UPDATED
    }
    changed = configuration_differences(
        wanted,
        existing["configuration"],
        SOURCE_SECRETS,
        writes_secrets=declaration.writes_secrets,
    )
    if not changed:
        return _Comparison(title, identifier)
    body = {name: wanted[name] for name in dict.fromkeys(item.field for item in changed)}
    return _Comparison(
        title, identifier, Change("source", NAME, tuple(map(str, changed)), body, identifier)
    )


def _destination(declaration: Declaration, workspace: WorkspaceState) -> _Comparison:
    title = f"destination {DESTINATION}"
    existing, ambiguous = _own(title, DESTINATION, workspace.destinations, "destinationId")
    if ambiguous:
        return ambiguous
    wanted = declaration.destination
    if not existing:
        text = ", ".join(str(wanted[name]) for name in ("host", "database", "schema", "username"))
        body = {"configuration": wanted}
        return _Comparison(title, change=Change("destination", DESTINATION, (text,), body))
    identifier = str(existing["destinationId"])
    if existing.get("destinationType", DESTINATION) != DESTINATION:
        return _refused(title, f"is of type {existing['destinationType']}: rename it or delete it")
    changed = configuration_differences(
        wanted,
        existing["configuration"],
        DESTINATION_SECRETS,
        writes_secrets=declaration.writes_secrets,
    )
    if not changed:
        return _Comparison(title, identifier)
    # The whole configuration replaces the old one, because one merged with it would keep the
    # password beside a new private key. What we do not declare, such as a retention, is kept.
    body = {"configuration": {**_kept(existing["configuration"]), **wanted}}
    lines = tuple(f"{item}{_moved(item)}" for item in changed)
    return _Comparison(
        title, identifier, Change("destination", DESTINATION, lines, body, identifier)
    )


def _kept(configuration: Json) -> Json:
    return {name: value for name, value in configuration.items() if name != "destinationType"}


def _moved(difference: Difference) -> str:
    if difference.field not in MOVES:
        return ""
    return (
        " (other tables, but the connections keep their states: to load everything again, clear "
        "their data in Airbyte)"
    )


def _connection(
    declaration: Declaration,
    workspace: WorkspaceState,
    name: str,
    source: _Comparison,
    destination: _Comparison,
) -> _Comparison:
    title = f"connection {name}"
    existing, ambiguous = _own(title, name, workspace.connections, "connectionId")
    if blocked := ambiguous or _blocked(title, source) or _blocked(title, destination):
        return blocked
    streams = declaration.connections[name]
    if not existing:
        text = f"{', '.join(stream.name for stream in streams)}; schedule manual"
        return _Comparison(
            title, change=Change("connection", name, (text,), connection_body(name, streams))
        )
    if (existing["sourceId"], existing["destinationId"]) != (
        source.identifier,
        destination.identifier,
    ):
        return _refused(
            title,
            f"does not lead from {source.title} to {destination.title}: rename it or delete it",
        )
    identifier = str(existing["connectionId"])
    comparison = compare_connection(streams, existing, workspace.catalogs.get(identifier, ()))
    change = (
        Change(
            "connection",
            name,
            comparison.lines,
            comparison.body,
            identifier,
            comparison.kept_states,
        )
        if comparison.body
        else None
    )
    return _Comparison(
        title, identifier, change, tuple(f"! {title}: {text}" for text in comparison.refusals)
    )


def _own(
    title: str, name: str, objects: Sequence[Json], key: str
) -> tuple[Json | None, _Comparison | None]:
    """Our object of this name, or the refusal of a name that several objects have."""
    named = [item for item in objects if item["name"] == name]
    if len(named) > 1:
        identifiers = ", ".join(str(item[key]) for item in named)
        return None, _refused(
            title, f"{len(named)} objects have this name ({identifiers}): rename all but ours"
        )
    return (named[0] if named else None), None


def _refused(title: str, reason: str) -> _Comparison:
    return _Comparison(title, refusals=(f"! {title}: {reason}",), blocked=True)


def _blocked(title: str, parent: _Comparison) -> _Comparison | None:
    return _refused(title, f"waits for {parent.title}, see above") if parent.blocked else None


def _foreign(
    declaration: Declaration, workspace: WorkspaceState, source: _Comparison
) -> Iterator[str]:
    """The objects of the workspace that are not ours."""
    groups: Sequence[tuple[str, Sequence[Json], set[str]]] = (
        ("connector", workspace.definitions, {NAME}),
        ("source", workspace.sources, {NAME}),
        ("destination", workspace.destinations, {DESTINATION}),
        ("connection", workspace.connections, set(declaration.connections)),
    )
    for kind, objects, own in groups:
        for item in objects:
            if item["name"] not in own:
                yield f"not touched: {kind} {item['name']}{_competes(item, source.identifier)}"


def _competes(item: Json, source_id: str) -> str:
    """The warning about a foreign connection that reads our source by itself."""
    schedule = item.get("schedule") or {}
    if (
        not source_id
        or item.get("sourceId") != source_id
        or item.get("status") != "active"
        or schedule.get("scheduleType", "manual") == "manual"
    ):
        return ""
    return (
        f" (it syncs source {NAME} by itself, {schedule_text(schedule)}, and so uses the requests "
        "of the account's plan)"
    )


def _secrets_note(declaration: Declaration, source: _Comparison) -> Iterator[str]:
    if source.identifier and not declaration.writes_secrets:
        yield (
            "note: Airbyte masks the stored API key and Snowflake login, so this plan cannot see "
            "whether they differ from yours; `airbyte apply --write-secrets` writes them"
        )
