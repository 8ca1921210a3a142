"""One cluster of the stream: its connections, and the loop that sends each second when it is due.

Add rules about sending here; the events of a second belong to `tape`, one connection to
`websocket`.
"""

import asyncio
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from polygon_assets.local.exchange.faults import Faults
from polygon_assets.local.exchange.market.clock import Clock
from polygon_assets.local.exchange.stream.tape import Batch, Tape
from polygon_assets.local.exchange.stream.websocket import Connection, text_frame

EVENTS_PER_FRAME = 400

DRAWS_AHEAD_AT = 20
"""The second of a minute in which drawing of the next one begins. It takes up to a second for the
whole market: begun when its first event is due, it would make that event late."""

Frame = tuple[bytes, int]
"""The encoded bytes and the number of events in them."""


@dataclass(eq=False)
class Feed:
    """The connections of one account to one cluster, in the order of their authentication."""

    tape: Tape
    clock: Clock
    faults: Faults
    hold_seconds: float
    """The time between the end of a market second and its sending."""
    connections: list[Connection] = field(default_factory=list)
    ended: deque[Connection] = field(default_factory=lambda: deque(maxlen=50))
    newest_second: int | None = None
    """The last second that was sent."""
    _withheld: defaultdict[int, list[tuple[str, Batch]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _occupied: asyncio.Event = field(default_factory=asyncio.Event)
    _drawings: dict[int, "asyncio.Task[None]"] = field(default_factory=dict)
    """By the minute's first second."""

    def join(self, connection: Connection) -> None:
        self.connections.append(connection)
        self._occupied.set()

    def leave(self, connection: Connection) -> None:
        self.ended.append(connection)
        if connection in self.connections:
            self.connections.remove(connection)
        if not self.connections:
            self._occupied.clear()

    def describe(self) -> dict[str, Any]:
        """For tests: live and ended connections with counts; `newest_second` in Unix seconds."""
        return {
            "connections": [connection.describe() for connection in self.connections],
            "ended": [connection.describe() for connection in self.ended],
            "events_sent": sum(
                connection.sent.events for connection in (*self.connections, *self.ended)
            ),
            "newest_second": self.newest_second,
        }

    async def run(self) -> None:
        """Send every second, for ever; without connections no market is computed."""
        while True:
            await self._occupied.wait()
            second = max(int(self.clock.now() - self.hold_seconds), self.tape.first_second)
            while self.connections:
                await self._wait_for(second)
                self.clock.hold(self, self._due(second))
                await self._drawing(second)
                self._send_second(second)
                self.newest_second = second
                second += 1
                self.clock.release(self)
                if second % 60 == DRAWS_AHEAD_AT:
                    self._drawing(second + 60)

    def _drawing(self, second: int) -> "asyncio.Task[None]":
        """The drawing of a second's minute, which is begun once; older ones are dropped."""
        start = second - second % 60
        if start not in self._drawings:
            self._drawings = {
                key: task for key, task in self._drawings.items() if key >= start - 60
            }
            self._drawings[start] = asyncio.create_task(asyncio.to_thread(self.tape.prepare, start))
        return self._drawings[start]

    def _due(self, second: int) -> float:
        return second + 1 + self.hold_seconds

    async def _wait_for(self, second: int) -> None:
        # Short sleeps, because a fault switched on or off meanwhile changes the wait.
        while (  # noqa: ASYNC110
            wait := self.clock.wall_seconds_until(self._due(second))
            + self.faults.send_delay_seconds(time.monotonic())
        ) > 0:
            await asyncio.sleep(min(wait, 0.05))

    def _send_second(self, second: int) -> None:
        late = int(self.faults.lateness_seconds(time.monotonic()))
        for kind, batch in (
            ("A", self.tape.events_of(second)),
            ("AM", self.tape.minute_bars(second)),
        ):
            if late:
                self._withheld[second + late].append((kind, batch))
            else:
                self._broadcast(second, kind, batch)
        for due in [due for due in self._withheld if due <= second]:
            for kind, batch in self._withheld.pop(due):
                self._broadcast(second, kind, batch)

    def _broadcast(self, second: int, kind: str, batch: Batch) -> None:
        now = time.monotonic()
        if not batch.events or self.faults.is_kind_silent(kind, now):
            return
        batch = batch.without(self.faults.silent_symbols(kind, now))
        bad_events = self.faults.take_bad_events() if kind == "A" else []
        # Framed once for all connections to the whole market.
        everything: list[Frame] | None = None
        for connection in list(self.connections):
            if connection.channels.wants_all(kind):
                if everything is None:
                    everything = _frames(batch.events + bad_events)
                _send(connection, everything, second)
            elif chosen := connection.channels.symbols(kind):
                _send(connection, _frames(batch.only(chosen).events + bad_events), second)


def _frames(events: list[bytes]) -> list[Frame]:
    parts = [
        events[start : start + EVENTS_PER_FRAME]
        for start in range(0, len(events), EVENTS_PER_FRAME)
    ]
    return [(text_frame(b"[" + b",".join(part) + b"]"), len(part)) for part in parts]


def _send(connection: Connection, frames: list[Frame], second: int) -> None:
    sent = connection.sent
    sent.first_second, sent.last_second = sent.first_second or second, second
    for frame, events in frames:
        connection.send_frame(frame, events)
