import csv
from importlib import resources

from polygon_assets.subscriptions import parse

LOCAL = resources.files("polygon_assets.local")


def test_the_sample_subscribes_only_to_tickers_that_the_exchange_trades() -> None:
    with LOCAL.joinpath("exchange/market/well_known.csv").open() as file:
        listed = {row["ticker"] for row in csv.DictReader(file)}
    sample = parse(LOCAL.joinpath("sample_subscriptions.csv").read_text(), listed)
    assert sample.bad_lines == ()
    assert len(sample.channels) >= 50
