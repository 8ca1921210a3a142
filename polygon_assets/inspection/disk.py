"""Free space where this machine writes; a full disk stops every embedded server at once.

Only the judgement of space belongs here; who reports it belongs to `status`, `doctor`, `alerts` and
`dev`.
"""

import shutil
from pathlib import Path


def free_bytes(folder: Path) -> int:
    """Bytes that may be written below a folder, or below its nearest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def scarcity(place: str, free: int, wanted: int) -> str:
    """A sentence where fewer bytes are free than wanted; empty otherwise."""
    if free >= wanted:
        return ""
    return (
        f"{free / 1024**3:.2f} GiB are free for {place}, "
        f"{wanted / 1024**3:.2f} GiB (ALERT_DISK_FREE_BYTES) should be: free some space, otherwise "
        "the servers stop taking rows"
    )
