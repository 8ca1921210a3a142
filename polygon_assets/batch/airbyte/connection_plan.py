"""The differences between a declared connection and a real one, and which of them lose a state.

Add a field of a connection or of its streams here; the other objects belong to `workspace_plan`.

What Airbyte does to a state was read in its server (ConnectionsHandler.updateConnection): it
deletes the state of a stream that leaves the connection or changes between full refresh and
incremental. It keeps a state when the key, the cursor, the prefix or the namespace changes, so rows
under the old key, or the days before the change in a new table, would be wrong or missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polygon_assets.batch.airbyte.connector import Stream, streams
from polygon_assets.batch.airbyte.declaration import CONNECTION_FIELDS, stream_configuration
from polygon_assets.clients.airbyte.transport import Json

FULL_REFRESH = "full_refresh"
_MOVING_FIELDS = ("namespaceDefinition", "prefix")
"""Fields that lead to other tables, to which the states do not belong."""
_TYPE_KEYS = ("type", "format", "airbyte_type")


@dataclass(frozen=True)
class ConnectionDifferences:
    """What a PATCH of the connection changes, and what is left to a person."""

    lines: tuple[str, ...]
    refusals: tuple[str, ...]
    body: Json = field(repr=False)
    """Empty where nothing is changed."""
    kept_states: frozenset[str]
    """Streams whose state must be the same afterwards."""


def compare_connection(
    members: Sequence[Stream], existing: Json, catalog: Sequence[Json]
) -> ConnectionDifferences:
    """The differences of one connection.

    `existing` is the connection in the public API, `catalog` its streams in the configuration API.
    """
    if existing["status"] == "locked":
        reason = existing.get("statusReason") or "no reason given"
        refusal = f"Airbyte has locked it ({reason}): unlock it in Airbyte"
        return ConnectionDifferences((), (refusal,), {}, frozenset())
    values = {name: existing.get(name) or value for name, value in CONNECTION_FIELDS.items()}
    changed = [name for name, value in CONNECTION_FIELDS.items() if _differs(values[name], value)]
    compared = _compare_streams(members, existing, catalog)
    body: Json = {name: CONNECTION_FIELDS[name] for name in changed if name not in _MOVING_FIELDS}
    lines = [_line(name, values[name]) for name in body]
    if compared.lines:
        # The list replaces the old one, so it also carries the streams that stay as they are.
        choices = [stream_configuration(stream) for stream in members]
        body["configurations"] = {"streams": choices}
        lines += compared.lines
    moving = [
        f"{_line(name, values[name])}; not changed, because Airbyte would write other tables and "
        "keep the states: change it in Airbyte and clear the connection's data there"
        for name in changed
        if name in _MOVING_FIELDS
    ]
    return ConnectionDifferences(
        tuple(lines), (*moving, *compared.refusals), body, compared.kept_states
    )


def schedule_text(schedule: Mapping[str, Any]) -> str:
    """A schedule of the public API in words, such as `cron 0 0 8 * * ? UTC`."""
    details = (schedule.get("cronExpression"), schedule.get("basicTiming"))
    return " ".join([str(schedule.get("scheduleType")), *(text for text in details if text)])


def _differs(current: Any, declared: Any) -> bool:
    if isinstance(declared, Mapping):
        return any(current.get(name) != value for name, value in declared.items())
    return bool(current != declared)


def _line(name: str, current: Any) -> str:
    declared = CONNECTION_FIELDS[name]
    if name == "schedule":
        current, declared = schedule_text(current), schedule_text(declared)
    return f"{name}: {current or 'none'} -> {declared or 'none'}"


@dataclass(frozen=True)
class _Streams:
    lines: tuple[str, ...]
    refusals: tuple[str, ...]
    kept_states: frozenset[str]


def _compare_streams(
    members: Sequence[Stream], existing: Json, catalog: Sequence[Json]
) -> _Streams:
    selected = {stream["name"]: stream for stream in existing["configurations"].get("streams", ())}
    entries = {entry["stream"]["name"]: entry for entry in catalog}
    lines, refusals, kept = [], [], set()
    for stream in members:
        wanted, current = stream_configuration(stream), selected.get(stream.name)
        if current is None:
            lines.append(f"stream {stream.name}: not selected -> {wanted['syncMode']}")
            continue
        if refusal := _unsafe(wanted, current):
            refusals.append(refusal)
        elif current["syncMode"] != wanted["syncMode"]:
            lines.append(_mode_line(wanted, current))
        else:
            kept.add(stream.name)
        lines += _catalog_lines(stream, entries.get(stream.name, {}))
    for name in sorted(selected.keys() - {stream.name for stream in members}):
        _sort_extra(selected[name], lines, refusals)
    if refusals:
        # One request carries all streams, so it waits for the refused one.
        refusals += [f"{line}; not changed before the stream above" for line in lines]
        lines.clear()
    return _Streams(tuple(lines), tuple(refusals), frozenset(kept))


def _unsafe(wanted: Json, current: Json) -> str:
    """Why a stream cannot be changed without wrong rows or missing ones; else nothing."""
    if wanted["syncMode"].startswith(FULL_REFRESH) or current["syncMode"].startswith(FULL_REFRESH):
        return ""
    reasons = [
        f"{name} {_value(current.get(name))} -> {_value(value)}"
        for name, value in wanted.items()
        if current.get(name) != value
    ]
    if not reasons:
        return ""
    return (
        f"stream {wanted['name']}: {', '.join(reasons)}; not changed, because Airbyte would keep "
        "the old rows and the state: change it in Airbyte and clear the stream's data there"
    )


def _value(value: Any) -> str:
    """A mode, a cursor path, or a list of key paths, in words."""
    if isinstance(value, list):
        parts = [".".join(part) if isinstance(part, list) else str(part) for part in value]
        return "+".join(parts) or "none"
    return str(value or "none")


def _mode_line(wanted: Json, current: Json) -> str:
    """A change between full refresh and incremental: Airbyte deletes the state, harmlessly."""
    return (
        f"stream {wanted['name']}: syncMode {current['syncMode']} -> {wanted['syncMode']} "
        "(its state is deleted; the next sync reads everything)"
    )


def _catalog_lines(stream: Stream, entry: Mapping[str, Any]) -> Iterator[str]:
    """Differences that only the configuration API shows; none where it has no such stream."""
    if not entry:
        return
    config, schema = entry.get("config", {}), entry["stream"].get("jsonSchema") or {}
    if changed := list(_fields(stream.properties, schema.get("properties", {}))):
        yield f"stream {stream.name}: fields {', '.join(changed)}"
    if config.get("fieldSelectionEnabled"):
        chosen = [".".join(item["fieldPath"]) for item in config.get("selectedFields") or ()]
        yield f"stream {stream.name}: selected fields {', '.join(chosen) or 'none'} -> all"
    if mappers := config.get("mappers"):
        kinds = ", ".join(str(mapper.get("type")) for mapper in mappers)
        yield f"stream {stream.name}: mappers {kinds} -> none"


def _fields(
    declared: Mapping[str, Mapping[str, Any]], current: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    yield from (f"+{name}" for name in declared if name not in current)
    yield from (f"-{name}" for name in current if name not in declared)
    for name in sorted(declared.keys() & current.keys()):
        if (before := _type(current[name])) != (after := _type(declared[name])):
            yield f"{name} {before} -> {after}"


def _type(schema: Mapping[str, Any]) -> str:
    """The type of a field in words, such as `null|string date`."""
    kinds = schema.get("type", "any")
    names = "|".join(sorted(kinds)) if isinstance(kinds, list) else str(kinds)
    return " ".join([names, *(str(schema[key]) for key in _TYPE_KEYS[1:] if key in schema)])


def _sort_extra(current: Json, lines: list[str], refusals: list[str]) -> None:
    """A selected stream that is not declared: it is deselected where no state is lost."""
    name = current["name"]
    if name not in streams():
        lines.append(
            f"stream {name}: selected -> not selected (the connector has no such stream; Airbyte "
            "deletes its state, its table stays)"
        )
    elif current["syncMode"].startswith(FULL_REFRESH):
        lines.append(f"stream {name}: selected -> not selected (its table stays)")
    else:
        refusals.append(
            f"stream {name}: selected, but not declared here; not changed, because Airbyte would "
            "delete its state: deselect it in Airbyte"
        )
