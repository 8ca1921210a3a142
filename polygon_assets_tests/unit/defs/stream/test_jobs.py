"""How long a program may take to stop; what its run does until then belongs to test_supervision."""

import pytest

from polygon_assets.defs.stream.jobs import LEAVE_SECONDS, grace_seconds
from polygon_assets.settings import Settings
from polygon_assets.streaming.leadership import REBALANCE_SECONDS


@pytest.mark.parametrize(
    ("program", "copies", "seconds"),
    [("producer", 2, 25.0), ("producer", 1, 15.0), ("filter", 2, 15.0)],
)
def test_one_of_several_producers_may_also_wait_for_the_end_of_a_rebalance(
    program: str, copies: int, seconds: float
) -> None:
    assert grace_seconds(Settings(drain_seconds=10, producer_copies=copies), program) == seconds


def test_the_graph_which_imports_no_program_knows_the_same_wait() -> None:
    assert LEAVE_SECONDS == REBALANCE_SECONDS
