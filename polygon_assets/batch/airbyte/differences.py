"""The differences between two JSON objects, field by field, as they are printed.

Add how a value is compared or shown here; what the objects mean belongs to `workspace_plan`.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NOT_SET = "not set"
SECRET = "(secret)"
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class Difference:
    """A field, named by its path, with both values as text."""

    path: str
    current: str
    declared: str

    @property
    def field(self) -> str:
        """The top-level field."""
        return self.path.split(".", 1)[0]

    def __str__(self) -> str:
        return f"{self.path}: {self.current} -> {self.declared}"


def differences(declared: Any, current: Any, secrets: Collection[str] = ()) -> list[Difference]:
    """Every leaf that differs, sorted by path.

    The value of a path in `secrets` is never read: only whether there is one is compared.
    """
    wanted, actual = dict(_leaves(declared, secrets)), dict(_leaves(current, secrets))
    return [
        Difference(path, _text(actual, path), _text(wanted, path))
        for path in sorted(wanted.keys() | actual.keys())
        if path not in wanted or path not in actual or wanted[path] != actual[path]
    ]


def configuration_differences(
    declared: Mapping[str, Any],
    current: Mapping[str, Any],
    secrets: Collection[str],
    *,
    writes_secrets: bool,
) -> list[Difference]:
    """The differences in an actor's declared fields; its other fields belong to a person.

    `writes_secrets` adds the declared secrets, because Airbyte does not show if they differ.
    """
    own = {name: value for name, value in current.items() if name in declared}
    shown = differences(declared, own, secrets)
    if not writes_secrets:
        return shown
    paths = {path for path, _ in _leaves(declared, secrets) if path in secrets}
    paths_shown = {difference.path for difference in shown}
    return [
        *shown,
        *(Difference(path, SECRET, f"{SECRET}, written") for path in sorted(paths - paths_shown)),
    ]


def _leaves(value: Any, secrets: Collection[str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of each leaf; the items of a list have their `name`, or else a number."""
    items = _items(value)
    if path in secrets:
        yield path, SECRET
    elif not items:
        yield path, value
    else:
        for name, item in items:
            yield from _leaves(item, secrets, f"{path}.{name}" if path else name)


def _items(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(name), item) for name, item in value.items()]
    if not isinstance(value, list):
        return []
    names = [str(item["name"]) for item in value if isinstance(item, Mapping) and "name" in item]
    if len(set(names)) != len(value):
        names = [str(number) for number in range(len(value))]
    return list(zip(names, value, strict=True))


def _text(leaves: Mapping[str, Any], path: str) -> str:
    if path not in leaves:
        return NOT_SET
    value = leaves[path]
    text = " ".join((value if value and isinstance(value, str) else json.dumps(value)).split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
