"""The heartbeats of a program's copies as one: filter, sink and archiver share their topic.

Add a field that copies must not report side by side here; reading heartbeats belongs to `streams`.
"""

from collections.abc import Collection, Iterable

import msgspec

from polygon_assets.inspection.health import HEARTBEAT_LIMIT, WORKING
from polygon_assets.messages import Heartbeat, utc
from polygon_assets.settings import Settings
from polygon_assets.topics import READERS


def may_be_several(settings: Settings, program: str) -> bool:
    """Whether processes that send heartbeats are copies, and not a process and the one before."""
    is_scaled = settings.copies(program) > 1 or settings.stream_runner != "process"
    return program in READERS and is_scaled


def as_one(beats: Collection[Heartbeat]) -> Heartbeat | None:
    """The newest heartbeats of one program's copies, one of each, as one; None without any.

    Each copy reports the messages of its own partitions, so lag, rate and counters are their sums,
    and the state is that of a copy that does not work, if there is one. A copy that has stopped, or
    is silent while another one is not, does not count. Producers do not share their work: of them,
    the newest heartbeat counts, and a standby's only without another.
    """
    newest = max(beats, key=lambda beat: (not beat.is_standby, beat.sent_at), default=None)
    if newest is None or newest.program not in READERS:
        return newest
    running = [beat for beat in beats if beat.state != "stopped" and _is_beside(beat, newest)]
    return _merged(running) if len(running) > 1 else (running or [newest])[0]


def _is_beside(beat: Heartbeat, newest: Heartbeat) -> bool:
    return utc(newest.sent_at) - utc(beat.sent_at) <= HEARTBEAT_LIMIT


def _merged(beats: Collection[Heartbeat]) -> Heartbeat:
    newest = max(beats, key=lambda beat: beat.sent_at)
    idle = [beat for beat in beats if beat.state not in WORKING]
    shown = idle[0] if idle else newest
    share = f"{len(idle) or len(beats)} of {len(beats)} copies"
    return msgspec.structs.replace(
        newest,
        instance=", ".join(sorted(beat.instance for beat in beats)),
        state=shown.state,
        detail=f"{share}: {shown.detail}" if shown.detail else share,
        started_at=min(beat.started_at for beat in beats),
        newest_event=max(_known(beat.newest_event for beat in beats), default=None),
        newest_received_at=max(_known(beat.newest_received_at for beat in beats), default=None),
        rate=sum(beat.rate for beat in beats),
        lag=_sum_of_known(beat.lag for beat in beats),
        counters=_summed(beats),
        restarts=max(beat.restarts for beat in beats),
        recent_read=sum(beat.recent_read for beat in beats),
        recent_refused=sum(beat.recent_refused for beat in beats),
        last_refusal=_last_refusal(beats),
        acknowledged_at=min(_known(beat.acknowledged_at for beat in beats), default=None),
    )


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _sum_of_known(lags: Iterable[int | None]) -> int | None:
    """A copy without a partition has no lag; None where no copy has one."""
    known = _known(lags)
    return sum(known) if known else None


def _summed(beats: Iterable[Heartbeat]) -> dict[str, int]:
    counters: dict[str, int] = {}
    for beat in beats:
        for name, number in beat.counters.items():
            counters[name] = counters.get(name, 0) + number
    return counters


def _last_refusal(beats: Collection[Heartbeat]) -> str:
    """Of the copy that refused most of late: no heartbeat says when a refusal came."""
    return max(beats, key=lambda beat: (bool(beat.last_refusal), beat.recent_refused)).last_refusal
