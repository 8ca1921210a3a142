"""The rights on the embedded stack's files: only their owner can read them.

Add a rule about these rights here; what the files contain belongs to each server. `stack.json`,
Airbyte's workspace and the connectors' inputs hold keys, and logs, databases and Dagster's storage
may quote what a key gives access to. A umask covers every file of every server, also one that names
its own mode, and the folder's mode covers what was written before.
"""

import getpass
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from polygon_assets.errors import PolygonAssetsError

OWNER_ONLY = 0o077
"""The umask that takes every right from group and others: folders get 0700, files 0600."""


@contextmanager
def owner_only() -> Iterator[None]:
    """Files that this process and its children create inside `with` are their owner's alone."""
    former = os.umask(OWNER_ONLY)
    try:
        yield
    finally:
        os.umask(former)


class UnusableFolderError(PolygonAssetsError):
    """The folder of the stack's data cannot be the owner's alone; names it and the cure."""


@contextmanager
def errors_named(folder: Path) -> Iterator[None]:
    """Raise UnusableFolderError for an OSError inside `with`."""
    try:
        yield
    except OSError as error:
        raise UnusableFolderError(
            f"{error.filename or folder} cannot be written ({error.strerror}): make it writable "
            f"for {getpass.getuser()}, or name another folder with --data"
        ) from error


def make_folder(folder: Path) -> None:
    """Create the folder, or take it from group and others. Raises UnusableFolderError."""
    with errors_named(folder), owner_only():
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_mode & stat.S_ISVTX:
            raise UnusableFolderError(
                f"{folder} belongs to everybody (its sticky bit is set), and the stack's data must "
                f"not: name a folder of its own with --data, such as {folder / 'polygon_assets'}"
            )
        _take(folder)


def take_content(folder: Path) -> None:
    """Take from group and others what an earlier, looser start has left in the folder.

    Links are not followed: they may lead out of it. Raises UnusableFolderError for another user's
    file.
    """
    with errors_named(folder):
        for path, folders, files in os.walk(folder):
            for name in (*folders, *files):
                with suppress(FileNotFoundError):  # removed meanwhile
                    _take(Path(path) / name)


def _take(path: Path) -> None:
    mode = path.lstat().st_mode
    if not stat.S_ISLNK(mode) and mode & OWNER_ONLY:
        path.chmod(stat.S_IMODE(mode) & ~OWNER_ONLY)
