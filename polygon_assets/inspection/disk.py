"""Free space where this machine writes; a full disk stops every embedded server at once.

Only the judgement of space belongs here; who reports it belongs to `status`, `doctor` and `dev`.
"""

import shutil
from pathlib import Path

SCARCE_BYTES = 2 * 1024**3
"""A day of the whole market takes about 1 GB in ClickHouse, and a merge needs that space again."""


def free_bytes(folder: Path) -> int:
    """Bytes that may be written below a folder, or below its nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def scarcity(folder: Path, free: int) -> str:
    """A sentence where space runs short; empty otherwise."""
    if free >= SCARCE_BYTES:
        return ""
    return (
        f"{free / 1024**3:.2f} GB are free for {folder.resolve()}, "
        f"{SCARCE_BYTES / 1024**3:.0f} GB should be: free some space, otherwise the servers stop "
        "taking rows"
    )
