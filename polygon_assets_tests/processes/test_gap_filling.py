"""Gaps filled by REST through the raw topic: every missed second is stored with its final values.

Which gap is due, and which waits, belongs to the unit tests; how a gap comes into the ledger to
`test_gap_ledger`; what a person does with it to `test_gap_jobs`.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from polygon_assets.clients import clickhouse
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.gap_filling import GapFillError
from polygon_assets.gap_filling.fill import GapFiller, Scope
from polygon_assets.gap_filling.publication import Publication
from polygon_assets.market_calendar import REVISION_WINDOW
from polygon_assets.messages import RawAggregate
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.gap_harness import crash_and_return, final, now, stored
from polygon_assets_tests.processes.harness import Programs, eventually, put_in_force
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS, SYMBOLS, Live

__all__ = ["EXCHANGE_OPTIONS"]

SERVERS = ("exchange", "kafka", "clickhouse", "s3")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The symbols whose second bars were requested."""
    symbols, bars_of = list[str](), PolygonRest.second_bars

    def counted(rest: PolygonRest, symbol: str, *limits: int) -> list[Mapping[str, Any]]:
        symbols.append(symbol)
        return bars_of(rest, symbol, *limits)

    monkeypatch.setattr(PolygonRest, "second_bars", counted)
    return symbols


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
    publish = Publication.publish

    def after_the_next_request(self: Publication, bars: Sequence[RawAggregate]) -> None:
        if len(asked) < len(SYMBOLS):
            eventually(lambda: len(asked) > 1, "the next symbol is requested")
        publish(self, bars)

    monkeypatch.setattr(Publication, "publish", after_the_next_request)
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
