"""The state of all faults: set through /control, read by the code that then misbehaves.

Add a fault's state here; its effect belongs beside the healthy behaviour.
"""

from collections import deque
from dataclasses import dataclass, field

from polygon_assets.local.exchange.http import Reply


@dataclass
class Faults:
    """The active faults. Times are `time.monotonic()` seconds, even in a fast replay."""

    silent_until: dict[str, float] = field(default_factory=dict)
    """The end of the silence by channel (`A.AAPL`, `A.*`, or `*` for all)."""
    slow_seconds: float = 0.0
    slow_until: float = 0.0
    late_minutes: float = 0.0
    late_until: float = 0.0
    refused_channels: set[str] = field(default_factory=set)
    refused_paths: set[str] = field(default_factory=set)
    """REST prefixes that answer 403."""
    today_refused: bool = False
    """Today's daily bars answer 403, as on the free plan."""
    key_refused: bool = False
    stream_refused: bool = False
    """The plan has no WebSocket, as the free one: the login is refused, REST is not."""
    login_answer: bytes = b""
    """The only answer to every key on the WebSocket; empty: the vendor's own answers."""
    replies: deque[tuple[str, Reply]] = field(default_factory=deque)
    """Faulty REST replies, each with the path prefix of the request that gets it."""
    bad_events: list[bytes] = field(default_factory=list)
    """Events to insert into the next frames among good ones."""
    handshakes: deque[int] = field(default_factory=deque)
    """HTTP statuses for the next WebSocket handshakes; 0 aborts the connection."""

    def is_kind_silent(self, kind: str, now: float) -> bool:
        """Whether all events of this kind (`A`, `AM`) are suppressed."""
        return any(self.silent_until.get(channel, 0.0) > now for channel in ("*", f"{kind}.*"))

    def silent_symbols(self, kind: str, now: float) -> set[str]:
        """The single symbols of this kind whose events are suppressed."""
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

    def take_reply(self, path: str) -> Reply | None:
        """Remove and return the next faulty reply for this path; None if there is none."""
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
