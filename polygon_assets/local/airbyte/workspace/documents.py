"""Objects kept as JSON files, one each, that are complete or absent whenever the process is killed.

What the objects are is `objects`' business.
"""

import threading
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec


class Kept(Protocol):
    @property
    def created_at(self) -> int: ...


T = TypeVar("T", bound=Kept)


class Documents(Generic[T]):
    """The objects of one kind by id, the oldest first; held in memory, each change written to its file before it is seen."""

    def __init__(self, folder: Path, kind: type[T]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._lock = threading.Lock()
        found = {
            file.stem: msgspec.json.decode(file.read_bytes(), type=kind)
            for file in folder.glob("*.json")
        }
        self._objects = dict(sorted(found.items(), key=lambda item: item[1].created_at))

    def get(self, identifier: str) -> T | None:
        return self._objects.get(identifier)

    def all(self) -> list[T]:
        return list(self._objects.values())

    def put(self, identifier: str, value: T) -> T:
        """Keep it, in place of what had this id; returns it."""
        with self._lock:
            partial = self._folder / f"{identifier}.partial"
            # Some hold secrets.
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
