"""A heartbeat and the facts of a whole system, for the tests of `status`."""

import datetime as dt
from typing import Any

from polygon_assets.inspection.status import stream_facts
from polygon_assets.messages import PROGRAMS, Heartbeat, ProgramState
from polygon_assets.settings import Settings

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)

DEFAULTS = Settings()

NOW_MS = int(NOW.timestamp() * 1000)


def beat(state: ProgramState = "streaming", age_seconds: float = 1, **changes: Any) -> Heartbeat:
    sent = NOW_MS - int(age_seconds * 1000)
    return Heartbeat(
        "producer",
        "host:1:2",
        state,
        started_at=0,
        sent_at=sent,
        rate=51.0,
        newest_event=NOW_MS - 3000,
        **changes,
    )


def picture(*, service_ok: bool = True, state: str = "streaming") -> dict[str, Any]:
    """The facts of a whole system, without problems unless changed."""
    stream = stream_facts(beat(), NOW, DEFAULTS) | {"state": state}
    return {
        "problems": [],
        "services": {
            "kafka": {"ok": service_ok, "endpoint": "127.0.0.1:9092", "detail": "5 topics"}
        },
        "streams": dict.fromkeys(PROGRAMS, stream),
        "tables": {"market.stock_aggregates": {"rows": 1234567, "newest": NOW.isoformat()}},
        "gaps": {"open": 2, "filling": 0, "verified": 0},
    }
