"""Stores objects as JSON files, which are complete or absent even after a kill.

Add storage behaviour here; the objects' fields belong to `objects`.
"""

import threading
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec


class Stored(Protocol):
    @property
    def created_at(self) -> int: ...


T = TypeVar("T", bound=Stored)


class Documents(Generic[T]):
    """The objects of one kind by id; a change is on disk before it is visible."""

    def __init__(self, folder: Path, kind: type[T]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._lock = threading.Lock()
        self._objects = {
            file.stem: msgspec.json.decode(file.read_bytes(), type=kind)
            for file in folder.glob("*.json")
        }

    def get(self, identifier: str) -> T | None:
        return self._objects.get(identifier)

    def all(self) -> list[T]:
        """All objects, oldest first; those of one second by id, so a restart changes no order."""
        return [
            value
            for _, value in sorted(
                self._objects.items(), key=lambda item: (item[1].created_at, item[0])
            )
        ]

    def put(self, identifier: str, value: T) -> T:
        """Store an object, in place of an earlier one with this id; returns the object."""
        with self._lock:
            partial = self._folder / f"{identifier}.partial"
            # Only for the owner, because some objects hold secrets.
            partial.touch(mode=0o600)
            partial.write_bytes(msgspec.json.encode(value))
            partial.replace(self._file(identifier))
            self._objects[identifier] = value
            return value

    def delete(self, identifier: str) -> None:
        with self._lock:
            self._file(identifier).unlink(missing_ok=True)
            self._objects.pop(identifier, None)

    def _file(self, identifier: str) -> Path:
        return self._folder / f"{identifier}.json"
