"""The log file of one job: what the connector, the destination and the server said, line by line.

The server's own log is `logging`'s business.
"""

import datetime as dt
from pathlib import Path
from types import TracebackType


class JobLog:
    """Appends to a file, which is closed at the end of `with`."""

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

    def write(self, who: str, level: str, message: str) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        self.file.write(f"{now} {level} {who} > {message}\n")
