"""The differences between a connector's file and its configuration in Connect: pure functions.

Add a rule about the files in deploy/connect here; requests to Connect belong to
`clients.kafka_connect`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from polygon_assets.errors import PolygonAssetsError

_SECRET_KEY = re.compile(
    r"password|secret|token|credential|jaas|(access|private|api)[._-]?key", re.I
)
_PLACEHOLDER = re.compile(r"\$\{[^}]+\}")
_HIDDEN = "***"


class ConnectorFileError(PolygonAssetsError):
    """A file cannot be used; the message names the file, the key and the cure."""


class ConnectorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A connector as Connect's POST /connectors takes it."""

    name: str
    config: dict[str, str]


@dataclass(frozen=True)
class ConnectorChange:
    """What becomes of a connector; without lines it stays."""

    name: str
    is_new: bool
    lines: tuple[str, ...] = ()
    """One for each key, without secrets."""

    def __str__(self) -> str:
        head = f"+ create connector {self.name}" if self.is_new else f"~ connector {self.name}"
        return "\n    ".join([head, *self.lines])


def read_file(path: Path) -> ConnectorFile:
    """A connector's file. Raises ConnectorFileError, also for a secret that stands in it."""
    try:
        connector = msgspec.json.decode(path.read_bytes(), type=ConnectorFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConnectorFileError(
            f'{path}: {error}; the form is {{"name": "…", "config": {{"key": "value"}}}}'
        ) from error
    for key, value in connector.config.items():
        if _SECRET_KEY.search(key) and value and not _PLACEHOLDER.search(value):
            raise ConnectorFileError(
                f"{path}: {key} is written out; name a variable of the worker instead, such as "
                "${env:CLICKHOUSE_PASSWORD}"
            )
    return connector


def change(wanted: ConnectorFile, current: Mapping[str, str] | None) -> ConnectorChange | None:
    """What `apply` changes; None where Connect has the same configuration.

    Connect adds the key `name` by itself.
    """
    new = wanted.config | {"name": wanted.name}
    if current is None:
        return ConnectorChange(wanted.name, True, tuple(_lines(wanted.config, {})))
    if new == (known := dict(current) | {"name": wanted.name}):
        return None
    return ConnectorChange(wanted.name, False, tuple(_lines(new, known)))


def _lines(new: Mapping[str, str], known: Mapping[str, str]) -> list[str]:
    lines = []
    for key in sorted(new.keys() | known.keys()):
        before, after = (_shown(key, values.get(key)) for values in (known, new))
        if new.get(key) == known.get(key):
            continue
        if key not in known:
            lines.append(f"+ {key}={after}")
        elif key not in new:
            lines.append(f"- {key}={before}")
        else:
            lines.append(f"~ {key}: {before} -> {after}")
    return lines


def _shown(key: str, value: str | None) -> str:
    """The value, unless it is a secret that somebody wrote out."""
    if value and _SECRET_KEY.search(key) and not _PLACEHOLDER.fullmatch(value):
        return _HIDDEN
    return value or ""
