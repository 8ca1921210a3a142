"""The choice of faults: seeded, everything in turn, and never so much that `dev` gives up."""

import random
from collections import Counter

from polygon_assets.local.launcher.revival import DEATHS, WITHIN_SECONDS
from polygon_assets_tests.chaos.faults import catalogue
from polygon_assets_tests.chaos.plan import Kind, Struck, next_round

KINDS = [fault.kind for fault in catalogue(disk=True, clock=True)]
ROUND_SECONDS = 20.0


def rounds(seed: int, count: int, kinds: list[Kind] = KINDS) -> list[Struck]:
    """The faults of the first rounds of a run."""
    draw, struck = random.Random(seed), list[Struck]()
    for number in range(count):
        now = number * ROUND_SECONDS
        struck += [Struck(kind, now) for kind in next_round(kinds, struck, now, draw)]
    return struck


def test_a_seed_repeats_the_faults_of_its_run() -> None:
    assert rounds(7, 30) == rounds(7, 30)
    assert rounds(7, 30) != rounds(8, 30)


def test_every_fault_strikes_once_before_any_strikes_a_third_time() -> None:
    names = [fault.kind.name for fault in rounds(1, 200)]
    third = next(
        number
        for number in range(len(names))
        if max(Counter(names[:number]).values(), default=0) > 2
    )
    assert {kind.name for kind in KINDS} == set(names[:third])


def test_no_server_dies_so_often_that_dev_gives_up() -> None:
    for seed in range(5):
        struck = rounds(seed, 150)
        for fault in struck:
            same = [
                other
                for other in struck
                if other.kind.server == fault.kind.server
                and fault.at - WITHIN_SECONDS < other.at <= fault.at
            ]
            restarts = [other for other in struck if other.kind.alone and other.at <= fault.at]
            since = max((other.at for other in restarts), default=-1.0)
            assert not fault.kind.server or sum(other.at > since for other in same) < DEATHS


def test_a_fault_that_stops_everything_strikes_alone() -> None:
    struck = rounds(3, 200)
    alone = [fault.at for fault in struck if fault.kind.alone]
    assert alone
    assert all(Counter(fault.at for fault in struck)[at] == 1 for at in alone)


def test_several_faults_strike_together_but_never_the_same_server_twice() -> None:
    struck = rounds(5, 200)
    together = Counter((fault.at, fault.kind.server) for fault in struck if fault.kind.server)
    assert max(together.values()) == 1
    assert max(Counter(fault.at for fault in struck).values()) == 3


def test_where_every_fault_would_kill_a_server_once_too_often_nothing_strikes_for_a_while() -> None:
    only = [Kind("kill -9 kafka", "kafka")]
    assert len(rounds(1, DEATHS + 1, only)) == DEATHS - 1
    struck = rounds(1, 2 + int(WITHIN_SECONDS / ROUND_SECONDS) + 1, only)
    assert len(struck) > DEATHS - 1
