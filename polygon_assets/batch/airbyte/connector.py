"""The connector's streams as data: names, schemas, keys, and the Airbyte connection each belongs to. Read from the manifest, once.

The manifest says how a stream is fetched, `batch.raw` how its table is written, `defs` where it stands in the graph.

To run the connector: `source-declarative-manifest check|discover|read --config FILE [--catalog FILE] [--state FILE]` of airbyte-cdk, with
the manifest in the configuration's `__injected_declarative_manifest`, or in a file named by `--manifest-path` (both start in 2 s).
Its `spec` is that of all manifests; this connector's own stands in the manifest. A field that is null is missing from a record.
"""

from collections.abc import Mapping
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
    """One stream, and the table of the same name that holds its records."""

    name: str
    primary_key: tuple[str, ...]
    cursor: str | None
    """The field by which it is incremental; None for a stream that is read whole each time."""
    properties: Mapping[str, Mapping[str, Any]]
    """JSON schema of each field, in the order of the manifest."""


@cache
def manifest() -> Mapping[str, Any]:
    """The manifest as Airbyte is given it."""
    content: Mapping[str, Any] = yaml.safe_load(MANIFEST.read_text())
    return content


@cache
def streams() -> Mapping[str, Stream]:
    """All streams of the manifest by name, in its order."""
    return {stream["name"]: _stream(stream) for stream in manifest()["streams"]}


def _stream(definition: Mapping[str, Any]) -> Stream:
    """What is read here must stand in the stream itself, not in a shared definition."""
    return Stream(
        name=definition["name"],
        primary_key=tuple(definition["primary_key"]),
        cursor=definition.get("incremental_sync", {}).get("cursor_field"),
        properties=definition["schema_loader"]["schema"]["properties"],
    )
