"""Translates streams: from the connector's offer to a connection's streams, the APIs, the tables.

Add rules about a choice of streams here; running the connector's discovery belongs to `workspace`.
"""

from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct

from polygon_assets.batch.airbyte.connector import Stream
from polygon_assets.local.airbyte.api.problems import bad_request
from polygon_assets.local.airbyte.workspace.objects import ConfiguredStream, Json

T = TypeVar("T")
# Airbyte's combined name to the source's and the destination's mode; all that this server supports.
SYNC_MODES = {
    "full_refresh_overwrite": ("full_refresh", "overwrite"),
    "incremental_deduped_history": ("incremental", "append_dedup"),
}


class StreamChoice(Struct, kw_only=True, rename="camel"):
    """A stream in a request, with the modes and keys that the connection should use."""

    name: str
    sync_mode: str | None = None
    cursor_field: list[str] | None = None
    primary_key: list[list[str]] | None = None


def configure(
    discovered: Sequence[Json], choices: Sequence[StreamChoice]
) -> list[ConfiguredStream]:
    """The chosen streams; without a choice, all streams with full refresh.

    Raises Problem 400, as Airbyte does, for a choice that the source does not offer.
    """
    by_name = {str(stream["name"]): stream for stream in discovered}
    for choice in choices:
        if choice.name not in by_name:
            raise bad_request(
                f"Invalid stream found: {choice.name}. The list of valid streams include: "
                f"{list(by_name)}."
            )
    return [
        _configured(by_name[choice.name], choice)
        for choice in choices or [StreamChoice(name=name) for name in by_name]
    ]


def _configured(stream: Json, choice: StreamChoice) -> ConfiguredStream:
    combined = choice.sync_mode or "full_refresh_overwrite"
    if combined not in valid_sync_modes(stream):
        raise bad_request(
            f"Cannot set sync mode to {combined} for stream {choice.name}. Valid sync modes are: "
            f"{valid_sync_modes(stream)}"
        )
    sync_mode, destination_sync_mode = SYNC_MODES[combined]
    configured = ConfiguredStream(
        stream=stream,
        sync_mode=sync_mode,
        destination_sync_mode=destination_sync_mode,
        cursor_field=_chosen(stream, "default_cursor_field", choice.cursor_field),
        primary_key=_chosen(stream, "source_defined_primary_key", choice.primary_key),
    )
    if destination_sync_mode == "append_dedup" and not (
        configured.primary_key and configured.cursor_field
    ):
        raise bad_request(
            f"No default primary key or cursor field for stream: {choice.name}. Please include "
            "them in the configuration."
        )
    return configured


def _chosen(stream: Json, field: str, chosen: list[T] | None) -> list[T]:
    """The source's definition, or the choice if there is none; a choice may repeat a definition."""
    defined: list[T] = stream.get(field) or []
    if defined and chosen and chosen != defined:
        raise bad_request(
            f"{field} of stream {stream['name']} is already defined by the source as "
            f"{defined}: leave it out"
        )
    return defined or chosen or []


def valid_sync_modes(stream: Json) -> list[str]:
    return [
        name for name, (mode, _) in SYNC_MODES.items() if mode in stream["supported_sync_modes"]
    ]


def combined_sync_mode(stream: ConfiguredStream) -> str:
    return next(
        name
        for name, modes in SYNC_MODES.items()
        if modes == (stream.sync_mode, stream.destination_sync_mode)
    )


def streams_without_state(
    old: Sequence[ConfiguredStream], new: Sequence[ConfiguredStream]
) -> set[str]:
    """Streams that left the connection, or changed between full refresh and incremental."""
    modes = {stream.name: stream.sync_mode for stream in new}
    return {stream.name for stream in old if modes.get(stream.name) != stream.sync_mode}


def table(stream: ConfiguredStream, prefix: str) -> Stream:
    """The stream's table in the warehouse: name, key, cursor and columns."""
    return Stream(
        name=prefix + stream.name,
        primary_key=tuple(path[0] for path in stream.primary_key),
        cursor=stream.cursor_field[0] if stream.sync_mode == "incremental" else None,
        properties=stream.stream["json_schema"]["properties"],
    )
