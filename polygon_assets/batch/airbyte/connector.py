"""The connector's streams as data, read once from the manifest: names, schemas, keys, connections.

Add what a stream declares here. How it is fetched belongs to the manifest, how its table is written
to `batch.raw`, its place in the graph to `defs`.

To run the connector, use airbyte-cdk's `source-declarative-manifest check|discover|read --config
FILE [--catalog FILE] [--state FILE]`. Pass the manifest in the configuration's
`__injected_declarative_manifest`, or as a file by `--manifest-path` (both start in 2 s). The
command's `spec` is that of all manifests; the manifest holds this connector's own. Records leave
out fields that are null.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

MANIFEST = resources.files("polygon_assets.batch.airbyte") / "source_polygon" / "manifest.yaml"
REFERENCE_CONNECTION = "polygon_reference"
DAILY_CONNECTION = "polygon_daily"
CONNECTIONS = {
    REFERENCE_CONNECTION: ("exchanges", "ticker_types", "tickers", "stock_split"),
    DAILY_CONNECTION: ("grouped_daily", "daily_open_close"),
}


@dataclass(frozen=True)
class Stream:
    """One stream; its records go into the table of the same name."""

    name: str
    primary_key: tuple[str, ...]
    cursor: str | None
    """The field of an incremental stream's cursor; None for a stream read whole each time."""
    properties: Mapping[str, Mapping[str, Any]]
    """JSON schema of each field, in the manifest's order."""


@cache
def manifest() -> Mapping[str, Any]:
    """The manifest in the form that Airbyte receives."""
    content: Mapping[str, Any] = yaml.safe_load(MANIFEST.read_text())
    return content


def provisioned_manifest(base_url: str) -> Mapping[str, Any]:
    """The manifest for a vendor's address: an answer from any other address fails its stream."""
    content = deepcopy(dict(manifest()))
    for stream in content["streams"]:
        stream["$parameters"]["provisioned_url"] = base_url.rstrip("/")
    return content


@cache
def streams() -> Mapping[str, Stream]:
    """All streams by name, in the manifest's order."""
    return {stream["name"]: _stream(stream) for stream in manifest()["streams"]}


def whole_streams() -> tuple[Stream, ...]:
    """The streams that are read whole: each sync replaces their tables."""
    return tuple(stream for stream in streams().values() if stream.cursor is None)


def _stream(definition: Mapping[str, Any]) -> Stream:
    """The stream itself must declare these keys: a `$ref` to a definition is not resolved."""
    return Stream(
        name=definition["name"],
        primary_key=tuple(definition["primary_key"]),
        cursor=definition.get("incremental_sync", {}).get("cursor_field"),
        properties=definition["schema_loader"]["schema"]["properties"],
    )
