"""The last hour of a program as a picture for its assets' pages: rate, lag and age of the data.

Add a line of the picture here; when it is written belongs to `heartbeat_events`. The values are
those of one run: a new one begins an empty picture.
"""

from collections import deque
from collections.abc import Mapping

import dagster as dg

from polygon_assets.defs.graph import plots
from polygon_assets.messages import Heartbeat

SAMPLE_MS = 60_000
SAMPLES = 61
"""An hour of minutes, both ends included."""


class Trend:
    """Takes every heartbeat and keeps one a minute."""

    def __init__(self) -> None:
        self._kept: deque[Heartbeat] = deque(maxlen=SAMPLES)

    def take(self, beat: Heartbeat) -> None:
        """Keep the heartbeat if the newest kept one is a minute old."""
        if not self._kept or beat.sent_at - self._kept[-1].sent_at >= SAMPLE_MS:
            self._kept.append(beat)

    def picture(self) -> Mapping[str, dg.MetadataValue]:
        """The picture as metadata; none before there are two points."""
        if len(self._kept) <= 1:
            return {}
        ages = [
            (beat.sent_at - beat.newest_event) / 1000
            for beat in self._kept
            if beat.newest_event is not None
        ]
        rows = {
            "events/s": [beat.rate for beat in self._kept],
            "messages behind": [float(beat.lag) for beat in self._kept if beat.lag is not None],
            "newest event": ages,
        }
        shown = {name: values for name, values in rows.items() if len(values) > 1}
        texts = {
            name: f"{values[-1]:,.1f} s old" if values is ages else f"{values[-1]:,.0f}"
            for name, values in shown.items()
        }
        minutes = (self._kept[-1].sent_at - self._kept[0].sent_at) // SAMPLE_MS
        title = f"rate, lag and age of the newest event over the last {minutes} min"
        return {"last_hour": plots.trends(title, shown, texts)}
