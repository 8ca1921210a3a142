"""The candle chart of one symbol in Bokeh: candles, volume, gaps, splits, closes as known earlier.

Add a glyph here; the columns that it draws belong to `candles`.
"""

import math
from bisect import bisect_left, bisect_right
from typing import Any, cast

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, CustomJSTickFormatter, HoverTool, Range1d
from bokeh.models.annotations import LabelSet
from bokeh.plotting import figure

from polygon_assets.page.candles import NAMES, Changes, Columns, joined
from polygon_assets.page.figure_style import styled

PRICE_HEIGHT, VOLUME_HEIGHT = 420, 130
BODY = 0.7
"""The body's share of a bar's width."""
FILLED, KNOWN = "#ffb300", "#ab47bc"
UPWARDS = math.pi / 2
NUMBERS = ("start", "open", "high", "low", "close", "volume", "mark_at")


class CandleChart:
    """Two figures with one time axis; `place` puts columns on them, `change` updates them."""

    def __init__(self, *, dark: bool) -> None:
        self.candles = ColumnDataSource({name: [] for name in NAMES})
        self.gaps = ColumnDataSource({name: [] for name in ("left", "right", "color", "label")})
        self.splits = ColumnDataSource({"at": [], "label": []})
        self.known = ColumnDataSource({"start": [], "close": []})
        self.range = Range1d(start=0, end=1)
        self.price = self._figure(PRICE_HEIGHT, dark=dark)
        self.volume = self._figure(VOLUME_HEIGHT, dark=dark)
        self._bodies: list[Any] = []
        self._draw_price()
        self._draw_volume()
        self.figures = column(self.price, self.volume, sizing_mode="stretch_width")

    @property
    def shown(self) -> tuple[float, float]:
        """The visible part of the time axis."""
        return cast("float", self.range.start), cast("float", self.range.end)

    @property
    def drawn(self) -> Columns:
        """The columns of the candles, which only this class changes."""
        return cast("Columns", self.candles.data)

    def place(self, columns: Columns, width_ms: float, shown: tuple[float, float]) -> None:
        """Replace every candle; `width_ms` is a bar's width, `shown` the visible range."""
        self.candles.data = _as_arrays(columns)
        for glyph in self._bodies:
            glyph.width = BODY * width_ms
        self.range.start, self.range.end = shown
        self.fit()

    def prepend(self, older: Columns) -> None:
        """Add candles to the left."""
        self.candles.data = _as_arrays(joined(older, self.drawn))
        self.fit()

    def change(self, changes: Changes) -> None:
        """Bring candles up to date; a chart whose end is visible moves on with new ones."""
        if not changes:
            return
        if changes.patches:
            self.candles.patch(changes.patches)
        if starts := changes.added["start"]:
            newest = self.drawn["start"][-1]
            self.candles.stream(dict(changes.added))
            self._follow(newest, starts[-1])
        self.fit()

    def refresh(self, newer: Columns) -> None:
        """Replace every candle from the first of `newer` on."""
        newest = self.drawn["start"][-1]
        self.candles.data = _as_arrays(joined(self.drawn, newer))
        self._follow(newest, self.drawn["start"][-1])
        self.fit()

    def clear(self) -> None:
        """Show no candle."""
        self.candles.data = {name: [] for name in NAMES}

    def _follow(self, before: float, newest: float) -> None:
        """Move on to the newest candle if the one before it was visible or to the left."""
        if before <= self.shown[1]:
            moved = newest - before
            self.range.update(start=self.shown[0] + moved, end=self.shown[1] + moved)

    def fit(self) -> None:
        """Fit the price axis to the visible candles."""
        since, until = self.shown
        first = bisect_left(self.drawn["start"], since)
        last = bisect_right(self.drawn["start"], until)
        low, high = (np.asarray(self.drawn[name][first:last], float) for name in ("low", "high"))
        if not np.isnan(low).all() and not np.isnan(high).all():
            lowest, highest = float(np.nanmin(low)), float(np.nanmax(high))
            margin = 0.06 * (highest - lowest) or 0.01 * highest
            self.price.y_range.start = lowest - margin
            self.price.y_range.end = highest + margin

    def _figure(self, height: int, *, dark: bool) -> Any:
        shown = figure(
            height=height,
            sizing_mode="stretch_width",
            x_range=self.range,
            x_axis_type="datetime",
            tools="xpan,xwheel_zoom,reset,save",
            active_drag="xpan",
            active_scroll="xwheel_zoom",
            toolbar_location="above" if height == PRICE_HEIGHT else None,
            y_axis_location="right",
        )
        return styled(shown, dark=dark)

    def _draw_price(self) -> None:
        self.price.y_range = Range1d(start=0, end=1)
        self._draw_gaps()
        self._draw_candles()
        self.price.line("start", "close", color=KNOWN, line_width=2, source=self.known)
        self._draw_splits()

    def _draw_gaps(self) -> None:
        shades = self.price.quad(
            left="left",
            right="right",
            bottom=0,
            top=1e9,
            source=self.gaps,
            level="underlay",
            color="color",
            fill_alpha=0.18,
            line_alpha=0.5,
        )
        self.price.add_tools(HoverTool(renderers=[shades], tooltips=[("gap", "@label")]))

    def _draw_candles(self) -> None:
        chart, source = self.price, self.candles
        wick = chart.segment("start", "high", "start", "low", color="color", source=source)
        body = chart.vbar("start", 1, "open", "close", color="color", source=source)
        self._bodies.append(body.glyph)
        chart.scatter(
            "start", "mark_at", marker="inverted_triangle", size=7, color=FILLED, source=source
        )
        prices = [(name, f"@{name}{{0,0.0000}}") for name in ("open", "high", "low", "close")]
        chart.add_tools(
            HoverTool(
                renderers=[wick, body],
                tooltips=[
                    ("time", "@start{%F %T}"),
                    *prices,
                    ("volume", "@volume{0,0}"),
                    ("state", "@label @mark"),
                ],
                formatters={"@start": "datetime"},
                mode="vline",
            )
        )

    def _draw_splits(self) -> None:
        self.price.ray(
            "at", 0, length=0, angle=UPWARDS, color=KNOWN, line_dash="dashed", source=self.splits
        )
        self.price.add_layout(
            LabelSet(
                x="at",
                y=6,
                y_units="screen",
                text="label",
                source=self.splits,
                text_color=KNOWN,
                text_font_size="11px",
            )
        )

    def _draw_volume(self) -> None:
        bars = self.volume.vbar(
            "start", 1, "volume", 0, fill_color="color", line_color=None, source=self.candles
        )
        self._bodies.append(bars.glyph)
        self.volume.yaxis.formatter = CustomJSTickFormatter(
            code="return tick >= 1e6 ? (tick/1e6) + ' M' : tick >= 1e3 ? (tick/1e3) + ' k' : tick"
        )
        self.volume.y_range.start = 0


def _as_arrays(columns: Columns) -> dict[str, Any]:
    """The columns as they are sent: Bokeh writes lists number by number, arrays as they are."""
    return {
        name: np.asarray(values, float) if name in NUMBERS else list(values)
        for name, values in columns.items()
    }
