"""The gap ledger as people read it: its rows, the gap that still lasts, and nonsense stamps."""

import dataclasses
import datetime as dt

import pytest
from clickhouse_connect.driver.client import Client
from msgspec.structs import replace

from polygon_assets.defs.stream.fill_gaps import _store_unless_waived
from polygon_assets.inspection import streams, tables
from polygon_assets.inspection.gaps import channels_text, ledger, notes, rows, unsettled
from polygon_assets.messages import Gap, Heartbeat, utc
from polygon_assets.serving.gap_ledger import GapEntry, read, reported, store, store_new_or_longer
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.serving.conftest import client, session_client, settings

__all__ = ["client", "session_client", "settings"]

NOW = dt.datetime(2026, 11, 20, 15, 40, tzinfo=dt.UTC)


def ms(hour: int, minute: int) -> int:
    """A moment of 2026-11-20 in UTC; New York is five hours behind."""
    return int(dt.datetime(2026, 11, 20, hour, minute, tzinfo=dt.UTC).timestamp() * 1000)


def gap(name: str, **changes: object) -> Gap:
    two_minutes = Gap(gap_id=name, reason="disconnect", since=ms(15, 30), until=ms(15, 32), epoch=1)
    return replace(two_minutes, **changes)


def entry(name: str, **changes: object) -> GapEntry:
    return reported(gap(name, **changes))


def beat(complete_until: int, **changes: object) -> Heartbeat:
    backing_off = Heartbeat(
        "producer", "h:1:2", "backing_off", 0, ms(15, 40), complete_until=complete_until
    )
    return replace(backing_off, **changes)


def test_a_gap_is_listed_in_new_york_time_with_reason_and_channels() -> None:
    [row] = rows([entry("a", channels=["A.AAPL", "A.MSFT"])], None, True, NOW)
    assert row.cells() == (
        "2026-11-20 10:30:00",
        "10:32:00",
        "120 s",
        "disconnect",
        "2: A.AAPL, A.MSFT",
        "open",
        "0",
        "0",
    )
    assert row.facts()["since"] == "2026-11-20T15:30:00+00:00"


def test_a_lasting_gap_is_listed_before_the_ledger_has_it() -> None:
    lasting = beat(ms(15, 39), detail="handshake refused with HTTP 503", desired=30)
    [row] = rows([], lasting, True, NOW)
    assert row.cells() == (
        "2026-11-20 10:39:00",
        "now",
        "",
        "handshake refused with HTTP 503",
        "all 30",
        "lasts",
        "0",
        "0",
    )
    assert rows([], beat(ms(15, 40)), True, NOW) == []
    night = NOW + dt.timedelta(hours=10)
    assert rows([], lasting, False, night) == []


@pytest.mark.parametrize("nonsense", [-(10**18), 0, 10**18])
def test_a_nonsense_stamp_hides_no_other_gap(
    client: Client, settings: Settings, nonsense: int
) -> None:
    gaps = [entry("bad", since=nonsense, until=nonsense), entry("good")]
    assert len(rows(gaps, None, True, NOW)) == 2
    store(client, gaps, NOW)
    assert {stored.gap_id for stored in tables.gaps(settings)} == {"bad", "good"}


@pytest.mark.parametrize(
    ("channels", "text"),
    [([], "all"), (["A.*"], "1: A.*"), (["A.A", "A.B", "A.C", "A.D"], "4: A.A, A.B, A.C, …")],
)
def test_channels_are_counted_and_the_first_are_named(channels: list[str], text: str) -> None:
    assert channels_text(channels) == text


def test_what_became_of_a_gap_prevails_over_kafkas_report(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = entry("old", channels=["A.AAPL"], events_dropped=3)
    store(client, [old], NOW)
    verified = dataclasses.replace(old, state="verified", rows_added=7, note="")
    store(client, [verified], NOW + dt.timedelta(seconds=1))
    report = [entry("old"), entry("new", since=ms(15, 35))]
    monkeypatch.setattr(streams, "reported_gaps", lambda *_: report)
    assert [(listed.gap_id, listed.state) for listed in ledger(settings)] == [
        ("old", "verified"),
        ("new", "open"),
    ]
    assert [listed.gap_id for listed in unsettled(ledger(settings))] == ["new"]
    [stored] = tables.gaps(settings)
    assert dataclasses.replace(stored, updated_at=None) == verified
    assert stored.updated_at == NOW + dt.timedelta(seconds=1)


def test_a_known_gap_is_not_stored_again(client: Client) -> None:
    filled = dataclasses.replace(entry("a"), state="filled")
    store(client, [filled], NOW)
    assert store_new_or_longer(client, [entry("a"), entry("b")], NOW) == [entry("b")]
    assert [(stored.gap_id, stored.state) for stored in read(client)] == [
        ("a", "filled"),
        ("b", "open"),
    ]


def test_a_gap_that_has_grown_is_open_again(client: Client) -> None:
    verified = dataclasses.replace(
        entry("a"), state="verified", rows_added=7, verify_after=NOW, channels=("A.A",)
    )
    store(client, [verified], NOW)
    assert store_new_or_longer(client, [entry("a", until=ms(15, 31))], NOW) == [], (
        "shorter than known"
    )
    [grown] = store_new_or_longer(
        client, [entry("a", until=ms(15, 33))], NOW + dt.timedelta(seconds=1)
    )
    assert (grown.state, grown.until, grown.rows_added) == ("open", utc(ms(15, 33)), 7)
    assert (grown.verify_after, grown.channels) == (None, ()), "nothing is known of the new part"
    assert [stored.state for stored in read(client)] == ["open"]


def test_a_fill_that_ends_after_a_waiver_leaves_it_in_force(client: Client) -> None:
    waived = dataclasses.replace(entry("a"), state="waived", note="accepted")
    store(client, [waived], NOW)
    assert not _store_unless_waived(client, dataclasses.replace(entry("a"), state="filled"))
    assert [(stored.state, stored.note) for stored in read(client)] == [("waived", "accepted")]


def test_a_note_is_listed_below_the_table() -> None:
    noted = dataclasses.replace(entry("a"), note="waits")
    assert notes(rows([entry("b"), noted], None, True, NOW)) == ["a (2026-11-20 10:30:00): waits"]
