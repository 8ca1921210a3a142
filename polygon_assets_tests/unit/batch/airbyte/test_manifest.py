"""The manifest as Airbyte takes it: its component schema, the Connector Builder, its version.

Streams and the form belong to test_connector; running it to processes/test_source_polygon.
"""

import importlib.metadata
import re
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError  # type: ignore[import-untyped]

from polygon_assets.batch.airbyte.connector import manifest, provisioned_manifest, streams

pytestmark = pytest.mark.filterwarnings("ignore:This class is experimental")
"""The runtime warns about its own classes, also when it is imported: below, in the functions."""
ROOT = Path(__file__).parents[4]
CONFIGURATION = {"api_key": "k", "start_date": "2026-11-02"}


def check_schema(content: Any) -> None:
    """Compare a manifest with the JSON schema of manifests that Airbyte ships with its runtime."""
    from airbyte_cdk.sources.declarative.concurrent_declarative_source import validate_manifest

    package = resources.files("airbyte_cdk.sources.declarative")
    schema = yaml.safe_load((package / "declarative_component_schema.yaml").read_text())
    validate_manifest(content, schema)


def resolved(**flags: bool) -> Any:
    """The manifest as the Connector Builder shows it after an upload."""
    from airbyte_cdk.connector_builder.connector_builder_handler import (
        create_source,
        resolve_manifest,
    )

    config = {
        "__injected_declarative_manifest": deepcopy(
            dict(provisioned_manifest("https://a.example"))
        ),
        **CONFIGURATION,
        **flags,
    }
    answer = resolve_manifest(create_source(config))
    assert answer.record, answer
    return answer.record.data["manifest"]


def test_the_manifest_with_all_references_fits_airbytes_component_schema() -> None:
    check_schema(resolved())


def test_the_component_schema_refuses_a_wrong_manifest() -> None:
    wrong = {**resolved(), "streams": [{"type": "DeclarativeStream", "name": "nothing"}]}
    with pytest.raises(ValidationError):
        check_schema(wrong)


def test_the_connector_builder_resolves_the_manifest_to_the_same_streams() -> None:
    for flags in ({}, {"__should_migrate": True, "__should_normalize": True}):
        built = resolved(**flags)
        assert [stream["name"] for stream in built["streams"]] == list(streams())
        assert built["version"] == manifest()["version"]
        assert "definitions" not in built["streams"][0]


def test_the_connector_builder_never_replaces_a_schema_by_what_it_detects() -> None:
    assert manifest()["metadata"] == {"autoImportSchema": dict.fromkeys(streams(), False)}


def test_the_manifest_is_written_for_the_runtime_that_is_locked_and_tested() -> None:
    version = manifest()["version"]
    [locked] = re.findall(
        r"^airbyte-cdk==([^ ]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    [floor, limit] = re.findall(
        r'"airbyte-cdk>=([^,]+),<([^"]+)"', (ROOT / "pyproject.toml").read_text()
    )[0]
    assert version == locked == floor == importlib.metadata.version("airbyte-cdk")
    # Airbyte chooses the runtime's image by the manifest's major version alone.
    assert limit == str(int(version.split(".", 1)[0]) + 1)


def test_the_manifest_needs_no_code_of_ours() -> None:
    text = str(manifest())
    assert "Custom" not in text
    assert "class_name" not in text
