"""The faults that are switched on at present: set through /control, asked by whoever has to misbehave.

Only the state belongs here; each fault is carried out where the healthy behaviour is.
"""

from collections import deque
from dataclasses import dataclass, field

from polygon_assets.local.exchange.http import Reply


@dataclass
class Faults:
    """Moments are `time.monotonic()` seconds: faults last for wall time, also in a fast replay."""

    silent_until: dict[str, float] = field(default_factory=dict)
    """Channel (`A.AAPL`, `A.*`, or `*` for everything) to the end of its silence."""
    slow_seconds: float = 0.0
    slow_until: float = 0.0
    late_minutes: float = 0.0
    late_until: float = 0.0
    refused_channels: set[str] = field(default_factory=set)
    refused_paths: set[str] = field(default_factory=set)
    """REST prefixes that answer 403."""
    today_refused: bool = False
    """The present day's daily bars answer 403, as on the free plan."""
    key_refused: bool = False
    replies: deque[tuple[str, Reply]] = field(default_factory=deque)
    """REST replies to give instead, each with the path prefix it is meant for."""
    bad_events: list[bytes] = field(default_factory=list)
    """To be slipped into the next frames among good events."""
    handshakes: deque[int] = field(default_factory=deque)
    """HTTP statuses for the next WebSocket handshakes; 0 aborts the connection."""

    def silent(self, kind: str, now: float) -> bool:
        """Whether nothing of this kind (`A`, `AM`) is sent."""
        return any(self.silent_until.get(channel, 0.0) > now for channel in ("*", f"{kind}.*"))

    def silenced(self, kind: str, now: float) -> set[str]:
        """Symbols of this kind that are silent one by one."""
        prefix = f"{kind}."
        return {
            channel[len(prefix) :]
            for channel, until in self.silent_until.items()
            if channel.startswith(prefix) and until > now
        }

    def send_delay_seconds(self, now: float) -> float:
        return self.slow_seconds if now < self.slow_until else 0.0

    def lateness_seconds(self, now: float) -> float:
        return 60.0 * self.late_minutes if now < self.late_until else 0.0

    def instead(self, path: str) -> Reply | None:
        """The reply to give to this request in place of the right one, if any; each is given once."""
        for place, (prefix, reply) in enumerate(self.replies):
            if path.startswith(prefix):
                del self.replies[place]
                return reply
        return None

    def take_bad_events(self) -> list[bytes]:
        taken, self.bad_events = self.bad_events, []
        return taken

    def clear(self) -> None:
        vars(self).update(vars(Faults()))
