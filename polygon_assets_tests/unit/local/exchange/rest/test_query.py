"""Filters, sorting and cursors of the list endpoints."""

import pytest

from polygon_assets.local.exchange.rest.query import (
    BadRequestError,
    Record,
    limit_of,
    matching,
    opened,
    ordered,
    page,
)

RECORDS: list[Record] = [
    {"ticker": symbol, "rank": rank} for rank, symbol in enumerate(["A", "B", "C", "D", "E"])
]


def test_comparisons_bound_a_field() -> None:
    records = matching(
        RECORDS, {"ticker.gt": "A", "ticker.lte": "D", "ticker.any_of": "B,D,E"}, ("ticker",)
    )
    assert [record["ticker"] for record in records] == ["B", "D"]


def test_pages_follow_each_other_with_the_requested_overlap() -> None:
    query = {"limit": "2"}
    symbols = []
    while True:
        current = page(RECORDS, query, 2, overlap=1)
        symbols += [record["ticker"] for record in current.records]
        if not current.cursor:
            break
        query = opened({"cursor": current.cursor})
    assert "".join(symbols) == "ABBCCDDE"


def test_pages_of_one_record_still_advance() -> None:
    assert opened({"cursor": page(RECORDS, {}, 1, overlap=1).cursor})["offset"] == "1"


def test_order_is_checked() -> None:
    assert ordered(RECORDS, "rank", "desc")[0]["ticker"] == "E"
    with pytest.raises(BadRequestError):
        ordered(RECORDS, "rank", "sideways")


@pytest.mark.parametrize("limit", ["0", "1001", "many", "-1"])
def test_limits_outside_the_bounds_are_refused(limit: str) -> None:
    with pytest.raises(BadRequestError):
        limit_of({"limit": limit}, 100, 1000)


@pytest.mark.parametrize("cursor", ["!", "bm90IGpzb24=", "W10="])
def test_a_broken_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadRequestError):
        opened({"cursor": cursor})
