"""The day's coverage and the arrival of rows as figures, in Bokeh.

Add a figure about trust here; the intervals and numbers belong to `trust`.
"""

from typing import Any, Literal

from bokeh.models import (
    ColumnDataSource,
    CustomJSHover,
    DataRange1d,
    DatetimeTickFormatter,
    FactorRange,
    HoverTool,
)
from bokeh.models.renderers import DataRenderer
from bokeh.plotting import figure

from polygon_assets.page.candles import COLORS, Columns
from polygon_assets.page.figure_style import styled
from polygon_assets.page.trust import BARS, POINTS, RATES

Formatters = dict[str, Literal["numeral", "datetime", "printf"] | CustomJSHover]
RATE_COLORS = {"the day before": COLORS["waived"], "today": COLORS["streamed"]}
"""In the order in which they are drawn."""
CLOCK = "%H:%M"
ROW_HEIGHT, ROWS_MARGIN, DELAYS_HEIGHT = 26, 70, 180


class CoverageFigure:
    """One line per channel, with the intervals of the day in the colours of their states."""

    def __init__(self, *, dark: bool) -> None:
        self._bars, self._channel_bars = (
            ColumnDataSource({name: [] for name in BARS}) for _ in range(2)
        )
        self._rows = FactorRange()
        self.figure = figure(
            height=ROWS_MARGIN + ROW_HEIGHT,
            sizing_mode="stretch_width",
            x_axis_type="datetime",
            y_range=self._rows,
            tools="xpan,xwheel_zoom,reset",
            toolbar_location=None,
        )
        drawn: list[DataRenderer] = [
            self.figure.hbar(
                y="row", left="left", right="right", height=0.7, color="color", source=source
            )
            for source in (self._channel_bars, self._bars)
        ]
        tooltips = [("", "@label"), ("from", "@left{%T}"), ("to", "@right{%T}")]
        formatters: Formatters = {"@left": "datetime", "@right": "datetime"}
        self.figure.add_tools(HoverTool(renderers=drawn, tooltips=tooltips, formatters=formatters))
        styled(self.figure, dark=dark)

    def draw(self, bars: Columns, channel_bars: Columns) -> None:
        """Replace what changed: the lines of all channels together, and those of single ones."""
        rows = list(dict.fromkeys([*bars["row"], *channel_bars["row"]]))[::-1]
        if rows != list(self._rows.factors):
            self._rows.factors = rows
            self.figure.height = ROWS_MARGIN + ROW_HEIGHT * max(1, len(rows))
        for source, newest in ((self._bars, bars), (self._channel_bars, channel_bars)):
            if newest != source.data:
                source.data = dict(newest)


class DelaysFigure:
    """How late rows arrived, and how many, minute by minute."""

    def __init__(self, *, dark: bool) -> None:
        self._points = ColumnDataSource({name: [] for name in POINTS})
        self.figure = _lines_figure("seconds")
        for name, color in (("p50", COLORS["streamed"]), ("p99", COLORS["filled"])):
            self.figure.line(
                "minute", name, color=color, line_width=2, legend_label=name, source=self._points
            )
        self.figure.add_tools(
            HoverTool(
                tooltips=[
                    ("", "@minute{%H:%M}"),
                    ("rows", "@rows{0,0}"),
                    ("p50", "@p50"),
                    ("p99", "@p99"),
                ],
                formatters={"@minute": "datetime"},
                mode="vline",
            )
        )
        styled(self.figure, dark=dark)

    def draw(self, points: Columns) -> None:
        """Replace the points if they changed."""
        if points != self._points.data:
            self._points.data = dict(points)
        self.figure.visible = bool(points["minute"])


class RatesFigure:
    """Rows per second today, and on the trading day before, by time of day."""

    def __init__(self, *, dark: bool) -> None:
        self._lines = {
            name: ColumnDataSource({column: [] for column in RATES}) for name in RATE_COLORS
        }
        self.figure = _lines_figure("rows per second")
        # A time of day, without the date that the axis would add.
        self.figure.xaxis.formatter = DatetimeTickFormatter(
            minsec=CLOCK, minutes=CLOCK, hourmin=CLOCK, hours=CLOCK, days=CLOCK
        )
        for name, source in self._lines.items():
            self.figure.line(
                "time",
                "rate",
                color=RATE_COLORS[name],
                line_width=2,
                legend_label=name,
                source=source,
            )
        styled(self.figure, dark=dark)

    def draw(self, today: Columns, before: Columns) -> None:
        """Replace the lines that changed."""
        for source, points in zip(self._lines.values(), (before, today), strict=True):
            if points != source.data:
                source.data = dict(points)
        self.figure.visible = bool(today["time"] or before["time"])


def _lines_figure(unit: str) -> Any:
    return figure(
        visible=False,  # an axis without a point would show the year 1970
        height=DELAYS_HEIGHT,
        sizing_mode="stretch_width",
        x_axis_type="datetime",
        y_axis_label=unit,
        y_range=DataRange1d(start=0),
        tools="xpan,xwheel_zoom,reset",
        toolbar_location=None,
    )
