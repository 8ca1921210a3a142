"""Lost messages, recognised by the offsets of a partition."""

import pytest

from polygon_assets.streaming.consumer import is_lost


@pytest.mark.parametrize(
    ("offsets", "lost"),
    [
        # The next message, the first ever, and the first after the committed offset.
        ((10, 10, 10, 0, 11), False),
        ((0, 0, 0, 0, 1), False),
        ((500, 500, 0, 0, 600), False),
        # Read again after a commit was refused, or after another member had the partition.
        ((7, 7, 10, 0, 11), False),
        ((7, 10, 10, 0, 10), False),
        # The broker's log starts again.
        ((0, 0, 10, 0, 5), True),
        ((0, 10, 10, 0, 1), True),
        # Retention deleted what was to be read next.
        ((50, 10, 10, 50, 60), True),
        # A new group on an old topic, and a transaction's marker.
        ((50, 0, 0, 50, 60), False),
        ((12, 10, 10, 0, 60), False),
    ],
)
def test_a_log_that_starts_again_or_has_expired_is_a_loss(
    offsets: tuple[int, int, int, int, int], lost: bool
) -> None:
    """The offsets are: the message's, expected, furthest, the log's first and its end."""
    assert is_lost(*offsets) is lost
