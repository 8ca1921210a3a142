"""`estimate`: prints what the channels of a CSV use in a day and cost in a month.

Add how the estimate is printed here; its figures belong to `costs`.
"""

import csv
import sys
from pathlib import Path

import click

from polygon_assets.commands.endpoints import read_settings


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(["table", "csv"]), default="table")
def estimate(file: Path, form: str) -> None:
    """Estimate what the channels of FILE use in production, before they are put in force.

    The prices are those of PRICES_FILE, without it list prices. The table says when each was
    compared with the seller's list, and the CSV in `as_of` (empty for never). Symbols are not
    compared with the reference data: `subscriptions check` does that.
    """
    from rich.console import Console

    from polygon_assets.costs.estimate import COLUMNS, bill_of
    from polygon_assets.costs.prices import PricesError, read_prices
    from polygon_assets.costs.quantities import quantities
    from polygon_assets.inspection.status_table import table
    from polygon_assets.subscriptions import parse

    settings = read_settings()
    parsed = parse(file.read_bytes().decode(errors="replace"), known_tickers=None)
    if parsed.bad_lines:
        raise click.ClickException("\n".join(map(str, parsed.bad_lines)))
    try:
        prices = read_prices(settings.prices_file)
    except PricesError as error:
        raise click.ClickException(str(error)) from error
    bill = bill_of(quantities(parsed.channels, settings), prices, settings)
    if form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(["item", "quantity", "unit", "usd", "as_of"])
        for line in bill.lines:
            price = line.price
            compared = price.as_of or ""
            writer.writerow([line.item, f"{line.quantity:.4f}", price.unit, line.usd, compared])
        return
    Console().print(table(COLUMNS, bill.rows()))
    click.echo(bill.sentence())
