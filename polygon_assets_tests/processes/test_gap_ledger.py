"""How a gap comes into the ledger: from Kafka's reports, or from a comparison with REST."""

import datetime as dt
import random
from collections.abc import Collection, Mapping
from contextlib import closing
from typing import Any

import pytest

from polygon_assets.clients import clickhouse, subscription_store
from polygon_assets.gap_filling import doubt
from polygon_assets.gap_filling.fill import GapFiller
from polygon_assets.gap_filling.record import record, record_subscription_sets
from polygon_assets.inspection.streams import reported_gaps
from polygon_assets.market_clock import WALL_CLOCK, calendar_of
from polygon_assets.messages import Heartbeat
from polygon_assets.serving import gap_ledger, heartbeat_history, subscription_sets
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.gap_harness import crash_and_return, final, now, stored
from polygon_assets_tests.processes.harness import Programs, eventually, put_in_force
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS, Live

__all__ = ["EXCHANGE_OPTIONS"]

SERVERS = ("exchange", "kafka", "clickhouse", "s3")


def traded_the_day_before(settings: Settings, symbol: str, moment: dt.datetime) -> None:
    """Store one second of a symbol, a day and a minute before a moment."""
    start = moment - dt.timedelta(days=1, minutes=1)
    with closing(clickhouse.connect(settings)) as client:
        client.insert(
            "market.stock_aggregates",
            [(symbol, start, start, start)],
            column_names=["symbol", "start_timestamp", "end_timestamp", "received_at"],
        )


@pytest.mark.long
def test_the_ledger_takes_the_reports_of_kafka_once(
    live: Live, programs: Programs, settings: Settings
) -> None:
    entry = crash_and_return(live, programs)
    days = [calendar_of(settings).day_of(now())]
    new = record(settings, calendar_of(settings), WALL_CLOCK, days, now())
    assert entry in new
    assert record(settings, calendar_of(settings), WALL_CLOCK, days, now()) == []
    with closing(clickhouse.connect(settings)) as client:
        known = {kept.gap_id for kept in gap_ledger.read(client)}
    assert {gap.gap_id for gap in reported_gaps(settings)} <= known


def test_what_was_subscribed_when_is_kept_from_the_versions_of_heartbeats(
    settings: Settings,
) -> None:
    put_in_force(settings, "A.AAPL", "A.MSFT")
    accepted = subscription_store.connect(settings).accepted()
    assert accepted is not None
    beats = [
        Heartbeat("producer", "h:1:1", "streaming", 1, at, subscriptions_version=version)
        for at, version in enumerate(
            (accepted.version, "of another bucket"), start=round(now().timestamp() * 1000)
        )
    ]
    with closing(clickhouse.connect(settings)) as client:
        heartbeat_history.store(client, beats)
        record_subscription_sets(settings, now())
        record_subscription_sets(settings, now())
        rows = client.query(
            "SELECT channels FROM market.subscription_sets FINAL WHERE version = {version:String}",
            parameters={"version": accepted.version},
        ).result_rows
        missing = subscription_sets.missing_versions(client, now() - dt.timedelta(days=1))
    assert rows == [(["A.AAPL", "A.MSFT"],)]
    assert missing == ["of another bucket"]


@pytest.mark.long
def test_a_channel_that_silently_sends_nothing_becomes_a_gap_and_is_filled(
    live: Live,
    programs: Programs,
    settings: Settings,
    filler: GapFiller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The vendor confirms the channel and sends nothing: no heartbeat or offset shows it."""
    monkeypatch.setattr(doubt, "STREAMED_AFTER", dt.timedelta(seconds=4))
    live.exchange.control("silence", channel="A.TSLA", seconds=600)
    live.start("AAPL", "TSLA")
    for name in ("filter", "sink"):
        programs.start(name)
    started = now()
    eventually(lambda: stored(settings, started, now()), "rows of AAPL")
    opened = now()
    eventually(lambda: now() > opened + dt.timedelta(seconds=12), "some seconds have passed")

    judged: dict[str, doubt.Activity] = {}
    choose = doubt.chosen

    def remember(
        symbols: Collection[str], activity: Mapping[str, doubt.Activity], *others: Any
    ) -> list[str]:
        judged.update(activity)
        return choose(symbols, activity, *others)

    monkeypatch.setattr(doubt, "chosen", remember)
    traded_the_day_before(settings, "ZVZZT", opened)

    def found() -> doubt.Comparison:
        return doubt.compare(settings, WALL_CLOCK, opened, now(), random.Random(1))

    new = eventually(lambda: found().new, "the silent channel is found")
    assert [(gap.cause, gap.channels) for gap in new] == [("silent channel", ("A.TSLA",))], new
    assert judged["ZVZZT"] == doubt.Activity(1, opened), "it may be silent since the open"
    [gap] = new
    again = found()
    assert set(again.symbols) == {"AAPL", "TSLA"}
    assert {later.gap_id for later in again.new} <= {gap.gap_id}, "it has only become longer"
    assert filler.fill(gap, now()).rows_added > 0
    lost = [key for key in final(live, gap.since, gap.until) if key[0] == "TSLA"]
    assert set(lost) <= stored(settings, gap.since, gap.until).keys()
