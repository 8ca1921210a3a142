"""Gaps filled by REST through the raw topic: every missed second is stored with its final values.

Which gap is due, and which waits, belongs to the unit tests.
"""

import datetime as dt
import random
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from polygon_assets.clients import clickhouse, subscription_store
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.defs.assets.stream_gaps import stream_gaps
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.stream.fill_gaps import fill_gaps, waive_gaps
from polygon_assets.gap_filling import doubt
from polygon_assets.gap_filling.fill import GapFiller, GapFillError, Scope, progress
from polygon_assets.gap_filling.record import record, record_subscription_sets
from polygon_assets.gap_filling.rest_seconds import Differences
from polygon_assets.inspection.streams import reported_gaps
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_calendar import NEW_YORK, REVISION_WINDOW
from polygon_assets.market_clock import WALL_CLOCK, calendar_of
from polygon_assets.messages import Heartbeat, RawAggregate
from polygon_assets.serving import gap_ledger, heartbeat_history, subscription_sets
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.harness import Programs, eventually, put_in_force
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS, SYMBOLS, Live

__all__ = ["EXCHANGE_OPTIONS"]

SERVERS = ("exchange", "kafka", "clickhouse", "s3")
Second = tuple[str, int]
Values = tuple[float, float, float, float, Decimal]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The symbols whose second bars were requested."""
    symbols, bars_of = list[str](), PolygonRest.second_bars

    def counted(rest: PolygonRest, symbol: str, *limits: int) -> list[Mapping[str, Any]]:
        symbols.append(symbol)
        return bars_of(rest, symbol, *limits)

    monkeypatch.setattr(PolygonRest, "second_bars", counted)
    return symbols


@pytest.fixture
def filler(settings: Settings) -> Iterator[GapFiller]:
    """A filler whose log is thrown away."""
    with closing(GapFiller(settings, lambda _line: None)) as one:
        yield one


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def stored(settings: Settings, since: dt.datetime, until: dt.datetime) -> dict[Second, Values]:
    """The stored seconds of SYMBOLS in an interval, as a reader sees them."""
    query = """
        SELECT symbol, toUnixTimestamp64Milli(start_timestamp), open, high, low, close, volume
        FROM market.stock_aggregates FINAL
        WHERE start_timestamp >= {since:DateTime64(3)} AND start_timestamp < {until:DateTime64(3)}
    """
    with closing(clickhouse.connect(settings)) as client:
        rows = client.query(query, parameters={"since": since, "until": until}).result_rows
    return {(symbol, start): tuple(values) for symbol, start, *values in rows if symbol in SYMBOLS}


def traded_the_day_before(settings: Settings, symbol: str, moment: dt.datetime) -> None:
    """Store one second of a symbol, a day and a minute before a moment."""
    start = moment - dt.timedelta(days=1, minutes=1)
    with closing(clickhouse.connect(settings)) as client:
        client.insert(
            "market.stock_aggregates",
            [(symbol, start, start, start)],
            column_names=["symbol", "start_timestamp", "end_timestamp", "received_at"],
        )


def store_wrong(settings: Settings, symbol: str, start_ms: int) -> None:
    """Store a second with values that the vendor has corrected since."""
    start = dt.datetime.fromtimestamp(start_ms / 1000, dt.UTC)
    prices = ("open", "high", "low", "close", "volume")
    with closing(clickhouse.connect(settings)) as client:
        client.insert(
            "market.stock_aggregates",
            [(symbol, start, start + dt.timedelta(seconds=1), start, 1, 1, 1, 1, 1)],
            column_names=["symbol", "start_timestamp", "end_timestamp", "received_at", *prices],
        )


def final(live: Live, since: dt.datetime, until: dt.datetime) -> dict[Second, Values]:
    """The final values of every second with trades, by the exchange's seed."""
    return {
        (symbol, bar.start_timestamp): (
            bar.open_price,
            bar.high,
            bar.low,
            bar.close_price,
            Decimal(bar.decimal_volume or bar.volume),
        )
        for symbol in SYMBOLS
        for bar in live.truth.final(symbol)
        if since.timestamp() * 1000 <= bar.start_timestamp < until.timestamp() * 1000
    }


def crash_and_return(live: Live, programs: Programs) -> GapEntry:
    """The gap that a killed producer leaves, a few seconds after the next one has reported it."""
    first = live.start(*SYMBOLS)
    for name in ("filter", "sink"):
        programs.start(name)
    first_ms = live.sent()[0]["first_second"] * 1000
    live.beat_with(first, lambda last: (last.newest_event or 0) >= first_ms)
    first.kill()
    time.sleep(2)
    second = live.start(*SYMBOLS)
    [gap] = second.until(live.gaps, "a gap is in the ledger")
    entry = gap_ledger.reported(gap)
    eventually(lambda: now() > entry.until + dt.timedelta(seconds=3), "its seconds are final")
    return entry


def test_every_second_of_a_gap_is_stored_with_its_final_values(
    live: Live, programs: Programs, settings: Settings, filler: GapFiller
) -> None:
    entry = crash_and_return(live, programs)
    since = entry.since - REVISION_WINDOW
    lost = final(live, entry.since, entry.until).keys()
    missing = lost - stored(settings, since, entry.until).keys()
    assert missing, "the crash lost something"
    store_wrong(settings, *min(missing))
    filled = filler.fill(entry, now())
    assert stored(settings, since, entry.until) == final(live, since, entry.until)
    assert (filled.state, filled.verify_after) == (
        "filled",
        entry.until + REVISION_WINDOW + dt.timedelta(minutes=1),
    )
    assert filled.rows_found == len(final(live, since, entry.until))
    assert 0 < filled.rows_added <= filled.rows_found
    assert filled.rows_corrected >= 1, "the wrong second, and what was corrected during the gap"
    again = filler.fill(filled, filled.verify_after or now())
    assert again.state == "verified"
    assert (again.rows_added, again.rows_corrected) == (filled.rows_added, filled.rows_corrected)


def test_gaps_that_ask_for_the_same_seconds_are_fetched_once_and_each_is_counted(
    live: Live,
    programs: Programs,
    settings: Settings,
    filler: GapFiller,
    asked: list[str],
) -> None:
    entry = crash_and_return(live, programs)
    middle = entry.since.replace(microsecond=0) + dt.timedelta(seconds=2)
    gaps = [replace(entry, gap_id="b", since=middle), replace(entry, gap_id="a", until=middle)]
    since = entry.since - REVISION_WINDOW
    missing = final(live, since, entry.until).keys() - stored(settings, since, entry.until).keys()
    filled = filler.fill_together(gaps, now())
    assert sorted(asked) == sorted(SYMBOLS)
    assert stored(settings, since, entry.until) == final(live, since, entry.until)
    assert [(gap.gap_id, gap.state) for gap in filled] == [("b", "filled"), ("a", "filled")]
    for gap in filled:
        assert gap.rows_found == len(final(live, gap.since - REVISION_WINDOW, gap.until))
        assert gap.rows_added > 0
    # Streamed rows that were on their way are stored meanwhile.
    assert sum(gap.rows_added for gap in filled) <= len(missing)


def test_the_next_symbols_are_requested_while_the_last_ones_are_published(
    live: Live,
    programs: Programs,
    filler: GapFiller,
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry, settings = crash_and_return(live, programs), live.settings
    publish = GapFiller._publish

    def after_the_next_request(self: GapFiller, chunk: Differences) -> list[RawAggregate]:
        if len(asked) < len(SYMBOLS):
            eventually(lambda: len(asked) > 1, "the next symbol is requested")
        return publish(self, chunk)

    monkeypatch.setattr(GapFiller, "_publish", after_the_next_request)
    monkeypatch.setattr("polygon_assets.gap_filling.fill.CHUNK_SYMBOLS", 1)
    assert filler.fill(entry, now()).rows_added > 0
    assert sorted(asked) == sorted(SYMBOLS)
    since = entry.since - REVISION_WINDOW
    assert stored(settings, since, entry.until) == final(live, since, entry.until)


@pytest.mark.long
def test_with_the_whole_market_every_ticker_is_asked_the_active_ones_first(
    live: Live, programs: Programs, settings: Settings, filler: GapFiller
) -> None:
    put_in_force(settings, "A.*")
    for name in ("filter", "sink"):
        programs.start(name)
    until = now() - dt.timedelta(seconds=5)
    entry = GapEntry("g", until - dt.timedelta(seconds=3), until, "restart")
    symbols = filler.scope(entry).symbols
    assert set(SYMBOLS) < set(symbols)
    assert filler.fill(entry, now()).rows_added > 0
    since = entry.since - REVISION_WINDOW
    missing = final(live, since, until).items() - stored(settings, since, until).items()
    assert missing == set()


def test_a_channel_that_is_no_longer_subscribed_is_left_out(
    settings: Settings, filler: GapFiller
) -> None:
    put_in_force(settings, "A.AAPL", "A.MSFT")
    entry = GapEntry("g", now(), now(), "crash", channels=("A.MSFT", "A.SPY"))
    assert filler.scope(entry) == Scope(("A.MSFT",), ["MSFT"])
    for channels in ((), ("A.*",)):
        scope = filler.scope(replace(entry, channels=channels))
        assert (scope.channels, set(scope.symbols)) == (("A.AAPL", "A.MSFT"), {"AAPL", "MSFT"})


def test_without_the_entitlement_a_gap_is_unfillable_with_the_vendors_words(
    live: Live, settings: Settings, filler: GapFiller
) -> None:
    put_in_force(settings, "A.AAPL")
    live.exchange.control("refuse", entitlement="/v2/aggs/ticker")
    refused = filler.fill(GapEntry("g", now(), now(), "crash"), now())
    assert refused.state == "unfillable"
    assert "HTTP 403" in refused.note
    assert "the account's plan does not include this data" in refused.note


@pytest.mark.long
def test_one_symbol_that_the_vendor_refuses_holds_up_no_other(
    live: Live, programs: Programs, settings: Settings, filler: GapFiller
) -> None:
    put_in_force(settings, "A.AAPL", "A.MSFT")
    for name in ("filter", "sink"):
        programs.start(name)
    live.exchange.control("refuse", entitlement="/v2/aggs/ticker/MSFT")
    until = now() - dt.timedelta(seconds=5)
    filled = filler.fill(GapEntry("g", until - dt.timedelta(seconds=30), until, "crash"), now())
    assert filled.rows_added > 0
    assert filled.state == "unfillable"
    assert "no bars of 1 symbol(s), first MSFT" in filled.note
    expected = final(live, until - REVISION_WINDOW, until)
    kept = stored(settings, until - REVISION_WINDOW, until)
    answered = {key for key in expected if key[0] == "AAPL"}
    assert answered
    assert {key: kept[key] for key in answered} == {key: expected[key] for key in answered}


def test_one_unusable_second_is_named_and_costs_no_other(
    live: Live,
    programs: Programs,
    settings: Settings,
    filler: GapFiller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_in_force(settings, "A.AAPL")
    for name in ("filter", "sink"):
        programs.start(name)
    answered = PolygonRest.second_bars
    monkeypatch.setattr(PolygonRest, "second_bars", lambda *args: [*answered(*args), {"t": 10**18}])
    until = now() - dt.timedelta(seconds=5)
    entry = GapEntry("g", until - dt.timedelta(seconds=30), until, "crash")
    with pytest.raises(GapFillError, match=r"unusable bars of 1 symbol.*first AAPL: 1 second bars"):
        filler.fill(entry, now())
    expected = final(live, until - REVISION_WINDOW, until)
    kept = stored(settings, until - REVISION_WINDOW, until)
    of_symbol = {key for key in expected if key[0] == "AAPL"}
    assert of_symbol
    assert {key: kept[key] for key in of_symbol} == {key: expected[key] for key in of_symbol}


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
    assert all(later.since >= gap.until for later in again.new), "it is in the ledger"
    assert filler.fill(gap, now()).rows_added > 0
    lost = [key for key in final(live, gap.since, gap.until) if key[0] == "TSLA"]
    assert set(lost) <= stored(settings, gap.since, gap.until).keys()


class OfStack(Environment):
    """The environment of a running stack."""

    values: dict[str, str]

    def settings(self) -> Settings:
        return Settings.model_validate(self.values)


def test_a_gap_that_cannot_be_filled_holds_up_no_other_and_a_person_may_waive_it(
    stack: Stack, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_force(settings, "A.AAPL")
    moment = now() - dt.timedelta(hours=1)
    bad = GapEntry("bad", moment, moment, "crash")
    good = replace(bad, gap_id="good", channels=("A.AAPL",))

    def fail_for_bad(_filler: GapFiller, gaps: list[GapEntry], _now: dt.datetime) -> list[GapEntry]:
        if gaps[0].gap_id == "bad":
            raise GapFillError("out of cheese")
        return [replace(gap, state="verified", note="") for gap in gaps]

    monkeypatch.setattr(GapFiller, "fill_together", fail_for_bad)
    values = {name.lower(): value for name, value in stack.environment().items()}
    environment = {"environment": OfStack(values=values)}

    def run(job: dg.JobDefinition, op: str, **config: object) -> bool:
        result = job.execute_in_process(
            resources=environment,
            run_config={"ops": {op: {"config": config}}},
            raise_on_error=False,
        )
        return result.success

    with closing(clickhouse.connect(settings)) as client:
        gap_ledger.store(client, [bad, good], now())

        def states() -> list[tuple[str, str]]:
            entries = {entry.gap_id: entry for entry in gap_ledger.read(client)}
            return [(entries[name].state, entries[name].note) for name in ("bad", "good")]

        assert not run(fill_gaps, "fill", gap_ids=["bad", "good"])
        assert states() == [("open", "out of cheese"), ("verified", "")]
        assert not run(fill_gaps, "fill", gap_ids=["nonsense"])
        assert not run(waive_gaps, "waive", gap_ids=[], reason="none is named")
        assert not run(waive_gaps, "waive", gap_ids=["bad"], reason=" ")
        assert run(waive_gaps, "waive", gap_ids=["bad"], reason="a test")
        assert states() == [("waived", "a test"), ("verified", "")]

    shown = dg.materialize([stream_gaps], resources=environment)
    [materialization] = shown.asset_materializations_for_node("clickhouse__stream_gaps")
    table = str(materialization.metadata["newest_settled"].value)
    since = f"{moment.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}"
    assert f"| {since} | " in table
    assert "| waived | 0 | 0 |" in table
    assert "a test" in str(materialization.metadata["notes"].value)


def test_the_progress_is_a_bar_with_numbers() -> None:
    assert progress(26, 104) == "[#####···············] 25 % (26 of 104 symbols)"
    assert progress(1, 1) == "[####################] 100 % (1 of 1 symbols)"
