"""`rebuild`: a trading day from the raw archive, compared with the stored one, and mended.

Change what the command prints here; how a day is rebuilt belongs to `polygon_assets.rebuild`.
"""

import datetime as dt
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from polygon_assets.commands.endpoints import read_settings
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from polygon_assets.rebuild.day import Comparison, RebuiltDay

_MEANINGS = {
    "equal": "equal",
    "missing": "missing in the table",
    "surplus": "surplus in the table: not in the archive",
    "different": "different",
}


@click.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--replace", is_flag=True, help="Insert what the table lacks or has otherwise.")
def rebuild(day: dt.datetime, replace: bool) -> None:
    """Rebuild a trading DAY from the archive, and compare it with the stored one.

    Exit code 1 if they differ, with --replace if they still do. A symbol that was received but not
    subscribed all the time is not compared. A stored row that is newer than the archive stays.
    """
    from clickhouse_connect.driver.exceptions import ClickHouseError

    settings = read_settings()
    try:
        is_equal = _rebuild(settings, day.date(), replace)
    except (ClickHouseError, PolygonAssetsError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if is_equal else 1)


def _rebuild(settings: Settings, day: dt.date, replace: bool) -> bool:
    """Whether the stored day equals the archive in the end."""
    from polygon_assets.clients import archive_store, clickhouse, subscription_store
    from polygon_assets.market_clock import calendar_of
    from polygon_assets.rebuild.day import rebuilt

    if not settings.market_replay and not calendar_of(settings).is_settled(
        day, dt.datetime.now(dt.UTC)
    ):
        click.echo(
            f"{day} is not settled: its newest events may be stored and not archived yet", err=True
        )
    history = subscription_store.connect(settings).history()
    with (
        closing(clickhouse.connect(settings)) as client,
        rebuilt(client, archive_store.connect(settings), day, history) as rebuilt_day,
    ):
        click.echo(_summary(rebuilt_day, day))
        comparison = rebuilt_day.compare()
        click.echo(_report(comparison))
        if not replace or comparison.is_equal:
            return comparison.is_equal
        rebuilt_day.replace()
        comparison = rebuilt_day.compare()
        click.echo("after --replace:\n" + _report(comparison))
        return comparison.is_equal


def _summary(rebuilt_day: "RebuiltDay", day: dt.date) -> str:
    archived, skipped = rebuilt_day.archived, rebuilt_day.uncompared
    compared = len(archived.receipts) - len(skipped)
    text = (
        f"{day}: {archived.events:,} archived events, {archived.refused:,} of them refused by the "
        f"filter's rules; {compared:,} symbols compared"
    )
    if not skipped:
        return text
    shown = ", ".join(skipped[:10]) + (", …" if len(skipped) > 10 else "")
    return f"{text}, {len(skipped):,} not, because they were not subscribed all the time: {shown}"


def _report(comparison: "Comparison") -> str:
    lines = []
    for outcome, rows in comparison.rows.items():
        lines.append(f"{rows:12,} {_MEANINGS[outcome]}")
        lines.extend(
            f"{'':13}{example.symbol} {example.start:%Y-%m-%d %H:%M:%S} UTC: {example.detail}"
            for example in comparison.examples[outcome]
        )
    return "\n".join(lines)
