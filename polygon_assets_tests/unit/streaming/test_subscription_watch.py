"""The accepted set as a program sees it: neither an old set nor a silent store drops a message."""

from typing import cast

from polygon_assets.clients.subscription_store import SubscriptionStore, SubscriptionStoreError
from polygon_assets.streaming.subscription_watch import SubscriptionWatch
from polygon_assets.subscriptions import AcceptedSet, accept

LONG_AGO_US = 0
IN_THE_FUTURE_US = 10**18


class Store:
    """A subscription store that returns or raises `answer`."""

    def __init__(self, *channels: str) -> None:
        self.answer: AcceptedSet | SubscriptionStoreError | None = None
        self.reads = 0
        if channels:
            self.publish(*channels)

    def publish(self, *channels: str) -> None:
        self.answer = accept(",".join(channels), channels, "etag", "2026-11-22T00:00:00Z")

    def accepted(self) -> AcceptedSet | None:
        self.reads += 1
        if isinstance(self.answer, SubscriptionStoreError):
            raise self.answer
        return self.answer


def watch(store: Store) -> SubscriptionWatch:
    watching = SubscriptionWatch(cast(SubscriptionStore, store))
    watching.refresh()
    return watching


def test_a_subscribed_symbol_is_kept_without_another_read() -> None:
    store = Store("A.AAPL")
    assert watch(store).keeps("AAPL", IN_THE_FUTURE_US)
    assert store.reads == 1


def test_a_set_older_than_the_message_is_read_again_before_a_message_is_dropped() -> None:
    store = Store("A.AAPL")
    watching = watch(store)
    store.publish("A.AAPL", "A.NVDA")
    assert watching.keeps("NVDA", IN_THE_FUTURE_US)
    assert store.reads == 2


def test_a_set_newer_than_the_message_decides() -> None:
    store = Store("A.AAPL")
    assert not watch(store).keeps("MSFT", LONG_AGO_US)
    assert store.reads == 1


def test_when_the_store_does_not_answer_the_message_is_kept() -> None:
    store = Store("A.AAPL")
    watching = watch(store)
    store.answer = SubscriptionStoreError("away")
    assert watching.keeps("MSFT", IN_THE_FUTURE_US)
    assert watching.problem == "away"


def test_the_last_good_set_stays_while_the_store_is_away() -> None:
    store = Store("A.AAPL")
    watching = watch(store)
    store.answer = SubscriptionStoreError("away")
    assert not watching.refresh()
    assert watching.current is not None
    assert watching.current.channels == ("A.AAPL",)


def test_a_wildcard_keeps_every_symbol() -> None:
    assert watch(Store("A.*")).keeps("ANY", IN_THE_FUTURE_US)


def test_before_the_first_set_the_problem_names_the_cure() -> None:
    watching = watch(Store())
    assert watching.current is None
    assert "materialize s3/subscriptions" in watching.problem
