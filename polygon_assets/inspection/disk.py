"""Free space where this machine writes: a full disk stops every server of the embedded stack at once."""

import shutil
from pathlib import Path

SCARCE_BYTES = 2 * 1024**3
"""A day of the whole market takes about 1 GB in ClickHouse, and a merge needs the space of its parts once more."""


def free_bytes(folder: Path) -> int:
    """Bytes that may be written below a folder, or below the nearest one above it that is there."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def scarcity(folder: Path, free: int) -> str:
    """A sentence where space runs short; empty otherwise."""
    if free >= SCARCE_BYTES:
        return ""
    return (
        f"{free / 1024**3:.2f} GB are free for {folder.resolve()}, {SCARCE_BYTES / 1024**3:.0f} GB should be: free some space, "
        "otherwise the servers stop taking rows"
    )
