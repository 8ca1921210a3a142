"""Whether other parts hold every block of a broken one."""

import pytest

from polygon_assets.local.launcher.broken_parts import Part, is_covered


def part(first: int, last: int, partition: str = "20261120", table: str = "t") -> Part:
    # ClickHouse writes large integers as text into JSON.
    return {"table": table, "partition_id": partition, "first": str(first), "last": str(last)}


@pytest.mark.parametrize(
    ("active", "covered"),
    [
        ([part(1, 9)], True),
        ([part(3, 4), part(5, 7)], True),
        ([part(5, 7), part(3, 3), part(4, 4), part(8, 30)], True),
        ([part(3, 4), part(6, 7)], False),
        ([part(4, 7)], False),
        ([part(3, 6)], False),
        ([part(3, 7, "20261119")], False),
        ([part(3, 7, table="u")], False),
        ([], False),
    ],
)
def test_every_block_must_be_in_another_part(active: list[Part], covered: bool) -> None:
    assert is_covered(part(3, 7), active) is covered
