"""The last hour of a program as a picture for its assets' pages: rate, lag and age of the data.

Add a line of the picture here; when it is written belongs to `heartbeat_events`. The values are
those of one run: each run starts with an empty picture.
"""

from collections import deque
from collections.abc import Mapping

import dagster as dg

from polygon_assets.defs.graph import plots
from polygon_assets.messages import Heartbeat

SAMPLE_MS, PAUSE_MS, HOUR_MS = 60_000, 150_000, 3_600_000
"""Between two kept heartbeats; from when on the line breaks; how much is shown."""


class Trend:
    """Takes every heartbeat and keeps one a minute, for an hour."""

    def __init__(self) -> None:
        self._kept: deque[Heartbeat] = deque()

    def take(self, beat: Heartbeat) -> None:
        """Keep the heartbeat if the newest kept one is a minute old."""
        if self._kept and beat.sent_at - self._kept[-1].sent_at < SAMPLE_MS:
            return
        self._kept.append(beat)
        while beat.sent_at - self._kept[0].sent_at > HOUR_MS:
            self._kept.popleft()

    def picture(self) -> Mapping[str, dg.MetadataValue]:
        """The picture as metadata; none before there are two points."""
        if len(self._kept) <= 1:
            return {}
        first, last = self._kept[0].sent_at, self._kept[-1].sent_at
        at = {beat.sent_at: (beat.sent_at - first) / (last - first) for beat in self._kept}
        rows: dict[str, list[tuple[float, float]]] = {
            "events/s": [(at[beat.sent_at], beat.rate) for beat in self._kept],
            "messages behind": [
                (at[beat.sent_at], beat.lag) for beat in self._kept if beat.lag is not None
            ],
            "newest event": [
                (at[beat.sent_at], (beat.sent_at - beat.newest_event) / 1000)
                for beat in self._kept
                if beat.newest_event is not None
            ],
        }
        shown = {name: points for name, points in rows.items() if points}
        texts = {name: f"{points[-1][1]:,.0f}" for name, points in shown.items()}
        if ages := shown.get("newest event"):
            texts["newest event"] = f"{ages[-1][1]:,.1f} s old"
        title = (
            f"rate, lag and age of the newest event over the last {(last - first) // SAMPLE_MS} min"
        )
        return {"last_hour": plots.trends(title, shown, texts, PAUSE_MS / (last - first))}
