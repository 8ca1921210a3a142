"""The file of prices: which lines are refused, and with which words."""

import datetime as dt
from pathlib import Path

import pytest

from polygon_assets.costs.prices import ITEMS, PricesError, read_prices

LIST = (Path(__file__).parents[3] / "polygon_assets/costs/prices.csv").read_text()


def test_the_list_prices_have_every_item_with_its_seller_and_only_real_dates() -> None:
    prices = read_prices()
    assert prices.keys() == ITEMS
    assert all(price.source for price in prices.values())
    compared = {item: price.as_of for item, price in prices.items() if price.as_of}
    assert compared.keys() == {
        "clickhouse_unit",
        "clickhouse_stored",
        "fargate_vcpu",
        "fargate_gb",
    }
    assert min(compared.values()) >= dt.date(2026, 1, 1)


def test_a_file_of_ones_own_replaces_the_list(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(LIST.replace("snowflake_credit,credit,2.00", "snowflake_credit,credit,3.10"))
    assert read_prices(str(file))["snowflake_credit"].usd == 3.1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("2.00", "two", r"line 10: ValueError.*'two'.*write item,unit,usd"),
        ("2.00", "-1", "line 10: usd '-1' is no price: write 0 or more"),
        ("2.00", "nan", "line 10: usd 'nan' is no price"),
        ("2.00,", "2.00,March", "line 10: ValueError.*'March'"),
        ("snowflake_credit", "snowflake_credits", "item 'snowflake_credits' is none of"),
        ("snowflake_credit", "s3_put", "line 10: a second price of s3_put: leave one"),
        ("usd", "eur", "line 2: KeyError"),
    ],
)
def test_a_bad_line_is_named_with_its_cure(
    before: str, after: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(LIST.replace(before, after, 1))
    with pytest.raises(PricesError, match=message):
        read_prices(str(file))


def test_a_missing_price_and_a_missing_file_are_named(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("\n".join(LIST.splitlines()[:-1]))
    with pytest.raises(PricesError, match="no price of fargate_gb"):
        read_prices(str(file))
    with pytest.raises(PricesError, match=r"PRICES_FILE=.*nowhere"):
        read_prices(str(tmp_path / "nowhere"))
