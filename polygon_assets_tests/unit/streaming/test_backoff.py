"""The pauses between attempts: doubled, jittered, reset after success."""

import random

from polygon_assets.streaming.backoff import Backoff


def test_delays_double_up_to_the_longest_and_start_anew_after_a_reset() -> None:
    backoff = Backoff(first=1.0, longest=8.0, rng=random.Random(1))
    delays = [backoff.next_delay() for _ in range(6)]
    for delay, full in zip(delays, (1, 2, 4, 8, 8, 8), strict=True):
        assert full / 2 <= delay <= full
    backoff.reset()
    assert backoff.next_delay() <= 1.0


def test_an_outage_of_a_day_is_no_error() -> None:
    backoff = Backoff(longest=5.0)
    assert max(backoff.next_delay() for _ in range(20_000)) <= 5.0


def test_two_copies_do_not_retry_in_step() -> None:
    assert Backoff(rng=random.Random(1)).next_delay() != Backoff(rng=random.Random(2)).next_delay()
