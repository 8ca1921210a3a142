"""The input of a contender besides the settings: where the events are, and how many to handle."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Work:
    """The first `events` events of the files in `folder`."""

    folder: Path
    events: int
