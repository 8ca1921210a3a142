"""How an answer is printed: a table or a candle chart for people, CSV, JSON, Arrow or Parquet.

Add a format here; the questions belong to `query`.
"""

import csv
import datetime as dt
import io
import json
import shutil
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import RenderableType
    from rich.table import Table

Format = Literal["table", "csv", "json", "arrow", "parquet", "chart"]
FORMATS: tuple[Format, ...] = ("table", "csv", "json", "arrow", "parquet")
WATCHED: tuple[Format, ...] = ("table", "json", "chart")
"""Formats of which one answer can follow the other."""
WIDEST = 10_000
CHART_LINES = 24


def show(answer: "pa.Table", as_format: Format) -> None:
    """Print an answer. Raises click.UsageError for bytes that would go to a terminal."""
    if as_format == "csv":
        click.echo(as_csv(answer), nl=False)
    elif as_format == "json":
        click.echo(as_json(answer), nl=False)
    elif as_format in ("table", "chart"):
        _print(rendered(answer, as_format))
    else:
        _write_bytes(answer, as_format)


def rendered(answer: "pa.Table", as_format: str) -> "RenderableType":
    """A table or a chart for the terminal."""
    from rich.console import Group
    from rich.text import Text

    if as_format == "chart":
        return Text.from_ansi(chart(answer))
    return Group(_table(answer), f"{answer.num_rows:,} rows")


def as_json(answer: "pa.Table", indent: int | None = 2) -> str:
    """A list of objects; times are ISO 8601, exact decimals are text."""
    rows = [{name: _plain(value) for name, value in row.items()} for row in answer.to_pylist()]
    return json.dumps(rows, indent=indent) + "\n"


def as_csv(answer: "pa.Table") -> str:
    """A header and a line per row; NULL is empty."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(answer.column_names)
    writer.writerows(map(_plain, row.values()) for row in answer.to_pylist())
    return lines.getvalue()


def chart(bars: "pa.Table") -> str:
    """Candles, as wide as the terminal, with their times below."""
    import plotext

    rows = bars.to_pylist()
    if not rows:
        return "no bar"
    places = list(range(len(rows)))
    figure = plotext.figure
    figure.clear()
    figure.theme("simple")  # the terminal's own colours
    figure.plot_size(shutil.get_terminal_size().columns, CHART_LINES)
    prices = {name: [row[name] for row in rows] for name in ("open", "close", "high", "low")}
    figure.draw(figure.candlestick({"date": places, **prices}))
    figure.title(f"{rows[0]['symbol']}, {len(rows)} bars to {_text(rows[-1]['start'])} UTC")
    shown = places[:: max(1, len(places) // 6)]
    figure.ruler(0).ticks(shown, [f"{rows[place]['start']:%H:%M:%S}" for place in shown])
    return str(figure.build().string())


def _write_bytes(answer: "pa.Table", as_format: Format) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if sys.stdout.isatty():
        raise click.UsageError(f"--format {as_format} is not for a terminal: write > FILE")
    stream = sys.stdout.buffer
    if as_format == "parquet":
        pq.write_table(answer, stream)
    else:
        with pa.ipc.new_stream(stream, answer.schema) as writer:
            writer.write_table(answer)


def _print(shown: "RenderableType") -> None:
    from rich.console import Console

    console = Console()
    # The terminal breaks a long line; a narrow column would break each number.
    unbound = console.options.update(width=WIDEST)
    console.width = max(console.width, console.measure(shown, options=unbound).maximum)
    console.print(shown)


def _table(answer: "pa.Table") -> "Table":
    from polygon_assets.inspection.status_table import table

    rows = [tuple(map(_text, row.values())) for row in answer.to_pylist()]
    return table(tuple(answer.column_names), rows)


def _plain(value: object) -> object:
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _text(value: object) -> str:
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}" + (f".{value:%f}" if value.microsecond else "")
    if isinstance(value, (float, Decimal)):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
