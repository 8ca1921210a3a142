"""What the check says of a comparison with REST; unit/gap_filling/test_doubt tests the comparison.

The whole way, from a silent channel to its fill, belongs to processes/test_gap_ledger.
"""

import datetime as dt
from collections.abc import Callable

import dagster as dg
import pytest

from polygon_assets.clients.polygon_answers import PolygonApiError
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.stream.doubt_check import sample_agrees_with_rest
from polygon_assets.gap_filling import doubt
from polygon_assets.gap_filling.doubt import Comparison
from polygon_assets.inspection import ClickHouseUnreachableError
from polygon_assets.market_clock import WALL_CLOCK, MarketClock
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets_tests.unit.defs.conftest import NothingSet, OpenMarket

SINCE = dt.datetime(2026, 11, 20, 15, 0, 7, tzinfo=dt.UTC)
GAP = GapEntry("g", SINCE, SINCE + dt.timedelta(minutes=9), "silence", channels=("A.AAPL",))


class WallClockMarket(OpenMarket):
    def clock(self) -> MarketClock:
        return WALL_CLOCK


def judged(environment: Environment) -> tuple[bool, str | None, dict[str, object]]:
    result = sample_agrees_with_rest(environment=environment)
    assert isinstance(result, dg.AssetCheckResult)
    metadata: dict[str, object] = {name: entry.value for name, entry in result.metadata.items()}
    return result.passed, result.description, metadata


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Callable[[Comparison | Exception], None]:
    """Sets the result of the comparison, or its error."""

    def set_result(result: Comparison | Exception) -> None:
        def compare(*_: object) -> Comparison:
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(doubt, "compare", compare)

    return set_result


@pytest.mark.parametrize(
    ("result", "passed", "said"),
    [
        (Comparison(("AAPL", "MSFT"), ()), True, "nothing is missing among: AAPL, MSFT"),
        (Comparison((), ()), True, "nothing is missing among: no symbol yet"),
        (Comparison(("AAPL", "MSFT"), (GAP,)), False, "silence: A.AAPL from 15:00:07 UTC"),
    ],
)
def test_what_rest_has_and_the_table_lacks_fails_the_check(
    compared: Callable[[Comparison], None], result: Comparison, passed: bool, said: str
) -> None:
    compared(result)
    numbers = {"compared_symbols": len(result.symbols), "new_gaps": len(result.new)}
    assert judged(WallClockMarket()) == (passed, said, numbers)


@pytest.mark.parametrize(
    "error",
    [PolygonApiError("429 Too Many Requests"), ClickHouseUnreachableError("nothing answers")],
)
def test_a_comparison_that_cannot_be_made_fails_the_check_with_the_error(
    compared: Callable[[Exception], None], error: Exception
) -> None:
    compared(error)
    assert judged(WallClockMarket()) == (False, str(error), {})


def test_what_is_not_set_is_named() -> None:
    passed, said, _ = judged(NothingSet())
    assert not passed
    assert "POLYGON_API_KEY" in str(said)
