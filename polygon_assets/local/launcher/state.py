"""A running stack's files for other shells: a lock, and `stack.json` with ports, pids, variables.

Add state that another shell reads here; starting and stopping belongs to `stack`. Only the lock
proves that a stack runs: the kernel releases it when the stack dies, while the file stays.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.local.launcher import private_files


class StackNotRunningError(PolygonAssetsError):
    """No stack runs on this data directory; the message names the command that starts one."""


class StackRunningError(PolygonAssetsError):
    """A stack runs on this data directory already; the message names its process."""


@private_files.owner_only()
def lock(data_dir: Path) -> IO[str]:
    """Lock the directory until the returned file is closed or this process ends.

    It is its owner's alone from now on, with all that a former stack left in it. Raises
    StackRunningError and UnusableFolderError.
    """
    private_files.make_folder(data_dir)
    # Without this file no stack has used the folder: what lies in it is somebody else's.
    has_former_stack = (data_dir / "stack.lock").exists()
    with private_files.errors_named(data_dir):
        file = (data_dir / "stack.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise StackRunningError(
            f"a stack is running on {data_dir} already (pid {owner}): stop it first, or use "
            "another directory"
        ) from None
    if has_former_stack:
        try:
            private_files.take_content(data_dir)
        except private_files.UnusableFolderError:
            file.close()
            raise
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def write(data_dir: Path, state: Mapping[str, Any]) -> None:
    """Replace `stack.json` in one step; only its owner may read it, because it holds the keys."""
    partial = data_dir / "stack.json.partial"
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(state, file, indent=2)
    partial.replace(data_dir / "stack.json")


def remove(data_dir: Path) -> None:
    (data_dir / "stack.json").unlink(missing_ok=True)


def read_environment(data_dir: Path) -> dict[str, str]:
    """The variables that lead to the stack running on `data_dir`, as `stack env` prints them.

    Raises StackNotRunningError.
    """
    try:
        is_running = _is_locked(data_dir / "stack.lock")
    except OSError as error:
        raise StackNotRunningError(
            f"no stack can be found on {data_dir}: {error.strerror}; remove it, or use a folder of "
            "your own with --data"
        ) from None
    if not is_running:
        raise StackNotRunningError(
            f"no stack is running on {data_dir}: start one with `polygon-assets stack up` "
            "or `polygon-assets dev`"
        )
    try:
        state = json.loads((data_dir / "stack.json").read_text())
    except FileNotFoundError:
        raise StackNotRunningError(
            f"the stack on {data_dir} is still starting: repeat the command in a few seconds"
        ) from None
    return {str(name): str(value) for name, value in state["environment"].items()}


def read_restarts(data_dir: Path) -> dict[str, int]:
    """The restarts of each server by the stack that runs on `data_dir`; empty if none runs."""
    try:
        return dict(json.loads((data_dir / "stack.json").read_text()).get("restarts", {}))
    except (OSError, ValueError):
        return {}


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
