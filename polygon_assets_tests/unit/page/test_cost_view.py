"""What today has used: so far, by the close at this rate, and in the estimate."""

from polygon_assets.costs.quantities import quantities
from polygon_assets.page.cost_view import usage_lines
from polygon_assets.settings import Settings

ROWS = "rows stored, with corrections until they are merged"
USED = {
    "events": 1_000,
    "rows": 900,
    "day_bytes": 2_500_000_000,
    "all_bytes": 7e9,
    "passed": 0.25,
}


def test_each_quantity_is_projected_by_the_share_of_the_session_that_has_passed() -> None:
    expected = quantities(["A.AAPL"], Settings())
    *lines, requests, warehouse = usage_lines(USED, expected)
    assert requests[1:] == (
        f"{expected.rest_requests / 4:,.0f}",
        *[f"{expected.rest_requests:,}"] * 2,
    )
    assert warehouse[0] == "Snowflake credits, estimated: not counted"
    assert lines == [
        ("events read", "1,000", "4,000", ""),
        (
            "rows stored, with corrections until they are merged",
            "900",
            "3,600",
            f"{expected.rows:,}",
        ),
        ("GB in ClickHouse", "2.50", "10.00", f"{2 * expected.clickhouse_gb:,.2f}"),
        ("GB in ClickHouse of all days", "7.00", "", ""),
    ]


def test_nothing_is_projected_before_the_session_or_expected_without_channels() -> None:
    lines = usage_lines(USED | {"passed": 0.0}, None)
    assert [line[2:] for line in lines] == [("", "")] * 4
