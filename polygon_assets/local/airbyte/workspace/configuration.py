"""Checks, masks and merges configurations with the JSON schema of their connector.

Add a rule about configurations here; storing them belongs to `actors`.
"""

from collections.abc import Mapping
from typing import Any

from polygon_assets.local.airbyte.api.problems import unprocessable
from polygon_assets.local.airbyte.workspace.objects import Json

MASK = "**********"


def check(schema: Json, configuration: Json) -> None:
    """Raise Problem 422 with the name of the best matching field that does not fit."""
    # Imported here, because the import takes 0.1 s; jsonschema ships no types.
    import jsonschema  # type: ignore[import-untyped]

    error = jsonschema.exceptions.best_match(
        jsonschema.Draft7Validator(schema).iter_errors(configuration)
    )
    if error:
        # error.message of a field begins with the field's value, which may be a secret.
        place = ".".join(str(part) for part in error.absolute_path)
        raise unprocessable(
            f"configuration.{place} does not fit {error.validator}: {error.validator_value!r}"
            if place
            else error.message
        )


def masked(schema: Json, configuration: Json) -> Json:
    """The configuration with the mask in place of each secret."""
    properties = _properties(schema)
    return {
        name: _masked_value(properties.get(name, {}), value)
        for name, value in configuration.items()
    }


def merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """`old` with the fields of `changes`, recursively within objects; lists are replaced."""
    both = {
        name: merged(old[name], value)
        for name, value in changes.items()
        if isinstance(value, dict) and isinstance(old.get(name), dict)
    }
    return {**old, **changes, **both}


def unmasked(new: Json, old: Json) -> Json:
    """`new` with the old secret for each mask, because clients send masked configurations back."""
    return {name: _unmasked_value(value, old.get(name)) for name, value in new.items()}


def _masked_value(schema: Json, value: Any) -> Any:
    if schema.get("airbyte_secret"):
        return MASK
    return masked(schema, value) if isinstance(value, dict) else value


def _unmasked_value(new: Any, old: Any) -> Any:
    if new == MASK and old is not None:
        return old
    return unmasked(new, old) if isinstance(new, dict) and isinstance(old, dict) else new


def _properties(schema: Json) -> Json:
    """The properties of the object and of all its variants."""
    properties: Json = dict(schema.get("properties", {}))
    for variant in schema.get("oneOf", ()):
        properties |= _properties(variant)
    return properties
