"""The log file of one job: the lines of the connector, the destination and the server.

Add the format of job logs here; the server's own log belongs to `logging`.
"""

import datetime as dt
from pathlib import Path
from types import TracebackType


class JobLog:
    """Appends lines to a file; the end of `with` closes the file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = path.open("a", buffering=1, errors="replace")

    def __enter__(self) -> "JobLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def write(self, origin: str, level: str, message: str) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        self.file.write(f"{now} {level} {origin} > {message}\n")
