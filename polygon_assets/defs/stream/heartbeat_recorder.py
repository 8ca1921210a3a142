"""Stores a program's heartbeats in ClickHouse while its run supervises it.

Add the choice of which heartbeats are kept here; the table belongs to `serving.heartbeat_history`.
A thread of its own writes them, because a ClickHouse that hangs must not delay the supervision.
"""

import logging
import threading
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from polygon_assets.gap_filling.coverage import is_complete
from polygon_assets.messages import Heartbeat, process_of
from polygon_assets.serving import heartbeat_history
from polygon_assets.settings import Settings
from polygon_assets.topics import READERS

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

EVERY_MS = 10_000
FLUSH_SECONDS = 2.0
FORGET_MS = 600_000
MOST_KEPT = 50_000
"""More than five days of one program while ClickHouse is away; the oldest are dropped then."""
STOP_SECONDS = 5.0
"""How long the end waits for the last insert, which a ClickHouse that hangs may hold."""

_log = logging.getLogger("supervision")


def is_kept(beat: Heartbeat, last: Heartbeat | None) -> bool:
    """Whether a heartbeat is stored: every ten seconds, and around each change."""
    if last is None or _shown(beat) != _shown(last):
        return True
    return beat.sent_at - last.sent_at >= EVERY_MS


def _shown(beat: Heartbeat) -> tuple[object, ...]:
    return (
        beat.instance,
        beat.state,
        beat.epoch,
        beat.desired,
        beat.confirmed,
        beat.subscriptions_version,
        beat.program == "producer" and is_complete(beat),
    )


def _copy_of(beat: Heartbeat) -> str:
    """Which copy of the program sent it, where several work side by side.

    Of producers one works: its next heartbeat is a change, although another process sent it.
    """
    return process_of(beat) if beat.program in READERS else ""


class HeartbeatRecorder:
    """Takes every heartbeat of a program; entered, it stores those that are kept."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._last: dict[str, Heartbeat] = {}
        """By copy, the newest that was kept."""
        self._previous: dict[str, Heartbeat] = {}
        self._kept: deque[Heartbeat] = deque(maxlen=MOST_KEPT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat-recorder", daemon=True)
        self._client: Client | None = None
        self._error = ""
        """Why the newest insert failed; empty after a successful one."""

    def __enter__(self) -> Self:
        if self._settings.clickhouse_host:
            self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def take(self, beat: Heartbeat) -> None:
        """Queue the heartbeat for storing if it is kept. They come in order; returns at once."""
        copy = _copy_of(beat)
        if is_kept(beat, self._last.get(copy)):
            previous = self._previous.get(copy)
            if previous and previous != self._last[copy] and _shown(beat) != _shown(previous):
                self._kept.append(previous)  # it shows when the change came
            self._kept.append(beat)
            self._forget_ended(beat.sent_at)
            self._last[copy] = beat
        self._previous[copy] = beat

    def _forget_ended(self, sent_at: int) -> None:
        """Forget copies that have been silent for long: each start of one is another process."""
        for copy, beat in list(self._previous.items()):
            if sent_at - beat.sent_at > FORGET_MS:
                del self._last[copy], self._previous[copy]

    def _run(self) -> None:
        """Insert what is kept, once more after the end."""
        is_last = False
        while not is_last:
            is_last = self._stop.wait(FLUSH_SECONDS)
            if beats := list(self._kept):
                self._insert(beats)
        self._disconnect()

    def _insert(self, beats: list[Heartbeat]) -> None:
        from clickhouse_connect.driver.exceptions import Error

        from polygon_assets.clients import clickhouse

        try:
            self._client = self._client or clickhouse.connect(self._settings)
            heartbeat_history.store(self._client, beats)
        except Error as error:
            self._disconnect()
            self._warn(str(error))
            return
        self._warn("")
        for beat in beats:
            # Others may have been dropped meanwhile, because too many waited.
            if self._kept and self._kept[0] is beat:
                self._kept.popleft()

    def _disconnect(self) -> None:
        if self._client:
            self._client.close()
        self._client = None

    def _warn(self, error: str) -> None:
        if error and not self._error:
            _log.warning("heartbeats wait for ClickHouse: %s", error)
        elif self._error and not error:
            _log.info("heartbeats are stored in ClickHouse again")
        self._error = error
