"""The ledger of channels: every desired channel ends as confirmed or with a reason."""

from polygon_assets.streaming.channel_ledger import (
    ACKNOWLEDGE_SECONDS,
    LARGEST_REQUEST,
    REFUSED,
    RETRY_SECONDS,
    SETTLE_SECONDS,
    UNANSWERED,
    ChannelLedger,
)

LATE = ACKNOWLEDGE_SECONDS + 1


def confirm(ledger: ChannelLedger, *names: str) -> None:
    for name in names:
        ledger.acknowledge("success", f"subscribed to: {name}")


def test_a_channel_is_requested_once_and_then_confirmed() -> None:
    ledger = ChannelLedger()
    assert ledger.plan(["A.AAPL"], 0).subscribe == [["A.AAPL"]]
    assert ledger.plan(["A.AAPL"], 1).subscribe == []
    assert ledger.unconfirmed() == ["A.AAPL: requested, not yet answered"]
    confirm(ledger, "A.AAPL")
    assert ledger.confirmed == {"A.AAPL"}
    assert ledger.unconfirmed() == []


def test_a_change_requests_only_the_difference() -> None:
    ledger = ChannelLedger()
    ledger.plan(["A.AAPL", "A.MSFT"], 0)
    confirm(ledger, "A.AAPL", "A.MSFT")
    plan = ledger.plan(["A.MSFT", "A.TSLA"], 1)
    assert (plan.unsubscribe, plan.subscribe) == ([["A.AAPL"]], [["A.TSLA"]])
    assert ledger.confirmed == {"A.MSFT"}


def test_a_wildcard_is_a_channel_of_its_own() -> None:
    """The vendor's own client removes AM.* and others with A.* because it compares prefixes."""
    ledger = ChannelLedger()
    ledger.plan(["A.*"], 0)
    confirm(ledger, "A.*")
    plan = ledger.plan(["A.AAPL"], 1)
    assert (plan.unsubscribe, plan.subscribe) == ([["A.*"]], [["A.AAPL"]])


def test_large_sets_are_requested_in_chunks() -> None:
    names = [f"A.S{number}" for number in range(LARGEST_REQUEST + 1)]
    assert [len(chunk) for chunk in ChannelLedger().plan(names, 0).subscribe] == [
        LARGEST_REQUEST,
        1,
    ]


def test_a_refusal_without_a_name_counts_for_the_unconfirmed_channel() -> None:
    ledger = ChannelLedger()
    ledger.plan(["A.AAPL", "A.MSFT"], 0)
    assert "refused" in (ledger.acknowledge("error", "not authorized") or "")
    confirm(ledger, "A.AAPL")
    ledger.plan(["A.AAPL", "A.MSFT"], LATE)
    assert ledger.unconfirmed() == [f"A.MSFT: {REFUSED}"]
    assert not ledger.all_refused


def test_as_many_refusals_as_open_channels_settle_them_without_waiting() -> None:
    ledger = ChannelLedger()
    names = ["A.AAPL", "A.MSFT", "A.TSLA"]
    ledger.plan(names, 0)
    for _ in range(2):
        ledger.acknowledge("error", "not authorized")
    ledger.plan(names, SETTLE_SECONDS)
    unanswered = ledger.settled
    confirm(ledger, "A.MSFT")
    ledger.plan(names, SETTLE_SECONDS)
    assert (unanswered, ledger.settled) == (False, True)
    assert ledger.unconfirmed() == [f"A.AAPL: {REFUSED}", f"A.TSLA: {REFUSED}"]


def test_a_refusal_of_a_dropped_channel_does_not_count_for_the_next_one() -> None:
    ledger = ChannelLedger()
    ledger.plan(["A.AAPL"], 0)
    ledger.plan(["A.MSFT"], 0.25)
    ledger.acknowledge("error", "not authorized")
    ledger.plan(["A.MSFT"], 0.5)
    assert not ledger.all_refused
    confirm(ledger, "A.MSFT")
    assert ledger.confirmed == {"A.MSFT"}


def test_all_refused_is_set_when_every_channel_is_refused() -> None:
    ledger = ChannelLedger()
    ledger.plan(["A.*"], 0)
    ledger.acknowledge("error", "not authorized")
    ledger.plan(["A.*"], LATE)
    assert ledger.all_refused


def test_an_unanswered_channel_is_reported_and_requested_again() -> None:
    ledger = ChannelLedger()
    ledger.plan(["A.AAPL"], 0)
    assert ledger.plan(["A.AAPL"], LATE).subscribe == []
    assert ledger.unconfirmed() == [f"A.AAPL: {UNANSWERED}"]
    assert not ledger.all_refused
    plan = ledger.plan(["A.AAPL"], LATE + RETRY_SECONDS)
    assert (plan.unsubscribe, plan.subscribe) == ([["A.AAPL"]], [["A.AAPL"]])


def test_a_late_confirmation_of_an_unwanted_channel_is_logged() -> None:
    ledger = ChannelLedger()
    ledger.plan(["A.AAPL"], 0)
    ledger.plan([], 1)
    assert "A.AAPL" in (ledger.acknowledge("success", "subscribed to: A.AAPL") or "")
    assert ledger.confirmed == set()


def test_single_channels_stay_subscribed_until_the_wildcard_is_confirmed() -> None:
    ledger = ChannelLedger()
    ledger.plan(["A.AAPL"], 0)
    confirm(ledger, "A.AAPL")
    plan = ledger.plan(["A.*"], 1)
    assert (plan.unsubscribe, plan.subscribe) == ([], [["A.*"]])
    confirm(ledger, "A.*")
    assert ledger.plan(["A.*"], 2).unsubscribe == [["A.AAPL"]]
    assert ledger.confirmed == {"A.*"}
