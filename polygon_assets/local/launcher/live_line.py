"""The one line that `make dev` keeps on the terminal: rate, lag, gaps, and the last failure.

Add a number of the line here; what is healthy belongs to `inspection.status`.
"""

import datetime as dt
from collections.abc import Callable, Mapping

from polygon_assets.inspection import InspectionError, streams, tables
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import Heartbeat
from polygon_assets.serving.gap_ledger import SETTLED

EVERY_SECONDS = 5.0
DEADLINE_SECONDS = 2.0
LONGEST_FAILURE = 60


class LiveLine:
    """Reads the line again every few seconds; what cannot be read is said in its place."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._read_at = -EVERY_SECONDS
        self._text = ""
        self._failure = ""

    def noting_failures(self, report: Callable[[str], None]) -> Callable[[str], None]:
        """`report`, which also keeps each report as the last failure."""

        def note(message: str) -> None:
            line = message.splitlines()[0][:LONGEST_FAILURE] if message else ""
            self._failure = f"{dt.datetime.now():%H:%M:%S} {line}"  # noqa: DTZ005 - for people here
            report(message)

        return note

    def text(self, now: float) -> str:
        """The line at `now` (monotonic seconds)."""
        if now - self._read_at >= EVERY_SECONDS:
            self._read_at = now
            self._text = self._read()
        return self._text

    def _read(self) -> str:
        settings = self._stack.settings()
        try:
            beats = streams.heartbeats(settings, DEADLINE_SECONDS)
            ledger = tables.gaps(settings)
        except InspectionError as error:
            return _with_failure(str(error).splitlines()[0], self._failure)
        unsettled = sum(entry.state not in SETTLED for entry in ledger)
        return _with_failure(summary(beats, unsettled), self._failure)


def summary(beats: Mapping[str, Heartbeat], gaps: int) -> str:
    """Rates, lags and gaps in one line."""
    producer = beats.get("producer")
    parts = [f"{producer.rate:,.0f} events/s" if producer else "no producer"]
    parts += [
        f"{name} {beat.lag:,} behind"
        for name, beat in beats.items()
        if name in ("filter", "sink", "archiver") and beat.lag is not None
    ]
    parts.append(f"gaps not verified: {gaps:,}" if gaps else "no gap")
    return " · ".join(parts)


def _with_failure(text: str, failure: str) -> str:
    return f"{text} · {failure}" if failure else text
