"""The answers to subscribe and unsubscribe."""

from polygon_assets.local.exchange.stream.subscriptions import (
    REFUSAL,
    Channels,
    status,
    subscribe,
    unsubscribe,
)

NONE: frozenset[str] = frozenset()


def test_each_new_channel_is_confirmed_and_repeats_are_not() -> None:
    channels = Channels()
    assert subscribe(channels, "A.AAPL, AM.*,A.AAPL", NONE) == [
        status("success", "subscribed to: A.AAPL"),
        status("success", "subscribed to: AM.*"),
    ]
    assert subscribe(channels, "A.AAPL", NONE) == []


def test_refusals_name_no_channel_and_come_first() -> None:
    assert subscribe(Channels(), "A.X,Q.X,A.Y", frozenset({"A.Y"})) == [
        REFUSAL,
        REFUSAL,
        status("success", "subscribed to: A.X"),
    ]


def test_unpublished_and_malformed_channels_get_no_answer() -> None:
    channels = Channels()
    assert subscribe(channels, "XYZ.AAPL,AAPL,,*", NONE) == []
    assert channels.confirmed == set()


def test_symbols_with_a_dot_keep_it() -> None:
    channels = Channels()
    subscribe(channels, "A.BRK.B,AM.SPY", NONE)
    assert channels.symbols("A") == {"BRK.B"}
    assert not channels.wants_all("A")


def test_unsubscribing_the_wildcard_leaves_the_single_channels() -> None:
    channels = Channels()
    subscribe(channels, "A.*,A.AAPL,AM.*", NONE)
    assert unsubscribe(channels, "A.*,A.MSFT") == [status("success", "unsubscribed to: A.*")]
    assert channels.confirmed == {"A.AAPL", "AM.*"}
