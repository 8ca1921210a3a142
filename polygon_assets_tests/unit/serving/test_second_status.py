"""The view that says of a symbol's second: traded, quiet (proved), or unknown."""

import datetime as dt
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.gap_filling.coverage import Interval, covered
from polygon_assets.messages import Heartbeat
from polygon_assets.serving import gap_ledger, heartbeat_history, subscription_sets
from polygon_assets.serving.gap_ledger import GapEntry, GapState
from polygon_assets.subscriptions import AcceptedSet

OPEN = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def at(seconds: float) -> dt.datetime:
    return OPEN + seconds * SECOND


def beat(seconds: float, **changes: Any) -> Heartbeat:
    ms = round(at(seconds).timestamp() * 1000)
    plain = Heartbeat(
        "producer",
        "h:1:1",
        "streaming",
        1,
        ms,
        complete_until=ms,
        desired=2,
        confirmed=2,
        epoch=1,
        subscriptions_version="v1",
    )
    return msgspec.structs.replace(plain, **changes)


@pytest.fixture(autouse=True)
def subscribed(client: Client) -> None:
    """What was subscribed by version: v1 the symbols A and B, v2 the symbol B, v3 all symbols."""
    channels = {"v1": ("A.A", "A.B"), "v2": ("A.B",), "v3": ("A.*",)}
    sets = [AcceptedSet(v, "e", "s", OPEN.isoformat(), channels[v]) for v in channels]
    subscription_sets.store(client, sets)


STATUSES = """
    SELECT status
    FROM market.second_status(
        symbol = {symbol:String},
        from_ts = {from:DateTime64(3, 'UTC')},
        to_ts = {to:DateTime64(3, 'UTC')}
    )
    ORDER BY start_timestamp
"""


def statuses(client: Client, since: float, until: float, symbol: str = "A") -> list[str]:
    parameters = {"symbol": symbol, "from": at(since), "to": at(until)}
    rows = client.query(STATUSES, parameters=parameters).result_rows
    assert len(rows) == until - since
    return [status for (status,) in rows]


def trade(client: Client, *seconds: float, symbol: str = "A") -> None:
    names = (
        *("symbol", "start_timestamp", "end_timestamp", "open", "high", "low", "close"),
        *("volume", "received_at", "source"),
    )
    rows = [
        (symbol, at(second), at(second + 1), 1.0, 1.0, 1.0, 1.0, 1, at(second + 3), "websocket")
        for second in seconds
    ]
    client.insert("market.stock_aggregates", rows, column_names=names)


def test_a_covered_second_without_a_trade_is_quiet_once_its_bar_must_have_arrived(
    client: Client,
) -> None:
    heartbeat_history.store(client, [beat(0.4), beat(10.4), beat(20.4), beat(30.4)])
    trade(client, 5)
    trade(client, 6, symbol="B")
    assert statuses(client, 0, 12) == [
        "unknown",
        *["quiet"] * 4,
        "traded",
        *["quiet"] * 5,
        "unknown",
    ], "the bar of 15:00:11 may arrive until 15:00:31"


def test_without_any_heartbeat_only_traded_seconds_are_known(client: Client) -> None:
    trade(client, 1)
    assert statuses(client, 0, 3) == ["unknown", "traded", "unknown"]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("open", "unknown"),
        ("filling", "unknown"),
        ("filled", "unknown"),
        ("unfillable", "unknown"),
        ("waived", "unknown"),
        ("verified", "quiet"),
    ],
)
def test_in_a_gap_a_second_is_quiet_only_when_the_gap_is_verified(
    client: Client, state: GapState, status: str
) -> None:
    gap = GapEntry("g", at(2), at(4), "crash", ("A.A", "A.C"), state)
    gap_ledger.store(client, [gap], OPEN)
    assert statuses(client, 1, 5) == ["unknown", status, status, "unknown"]
    assert statuses(client, 1, 5, "B") == ["unknown"] * 4


@pytest.mark.parametrize(
    ("version", "status"), [("v1", "quiet"), ("v2", "unknown"), ("v3", "quiet"), ("v9", "unknown")]
)
def test_a_covered_second_is_quiet_only_for_a_symbol_that_was_subscribed(
    client: Client, version: str, status: str
) -> None:
    beats = [beat(second, subscriptions_version=version) for second in (0, 10, 20, 30)]
    heartbeat_history.store(client, beats)
    assert statuses(client, 1, 3) == [status] * 2


def test_while_the_subscription_changes_a_second_is_unknown(client: Client) -> None:
    """B was subscribed all the time, A to begin with."""
    versions = {0: "v1", 10: "v1", 20: "v2", 30: "v2", 40: "v2"}
    heartbeat_history.store(
        client, [beat(second, subscriptions_version=versions[second]) for second in versions]
    )
    assert statuses(client, 8, 12) == ["quiet", "unknown", "unknown", "unknown"]
    assert statuses(client, 8, 12, "B") == ["quiet"] * 4


@pytest.mark.parametrize("channels", [(), ("A.*",)])
def test_a_gap_of_all_channels_is_one_of_each_symbol(
    client: Client, channels: tuple[str, ...]
) -> None:
    heartbeat_history.store(client, [beat(second) for second in range(0, 41, 10)])
    gap_ledger.store(client, [GapEntry("g", at(2), at(3), "crash", channels)], OPEN)
    assert statuses(client, 1, 4) == ["quiet", "unknown", "quiet"]


@pytest.mark.parametrize(
    "change",
    [
        {"confirmed": 1},
        {"desired": 0, "confirmed": 0},
        {"complete_until": None},
        {"complete_until": round(at(4).timestamp() * 1000)},
        {"epoch": 2},
        {"instance": "h:2:2"},
    ],
)
def test_the_view_and_the_ledger_agree_on_what_is_covered(
    client: Client, change: dict[str, Any]
) -> None:
    beats = [beat(0), beat(10, **change), beat(20), beat(55), beat(65), beat(75), beat(95)]
    heartbeat_history.store(client, beats)
    proved = covered(sorted(beats, key=lambda heartbeat: heartbeat.sent_at))
    expected = [
        "quiet"
        if any(_holds(part, second) for part in proved)
        and any(_holds(part, second + 1, end=True) for part in proved)
        else "unknown"
        for second in range(70)
    ]
    assert statuses(client, 0, 70) == expected
    assert {"quiet", "unknown"} == set(expected)


def _holds(part: Interval, second: int, *, end: bool = False) -> bool:
    return part.since <= at(second) <= part.until if end else part.since <= at(second) < part.until


def test_the_newest_state_of_a_gap_counts(client: Client) -> None:
    gap = GapEntry("g", at(0), at(2), "crash", ("A.*",))
    gap_ledger.store(client, [gap], OPEN)
    gap_ledger.store(client, [replace(gap, state="verified")], OPEN + SECOND)
    assert statuses(client, 0, 2) == ["quiet", "quiet"]
