"""The candle chart of one symbol in Bokeh: candles, volume, gaps, splits, closes as known earlier.

Add a glyph here; the columns that it draws belong to `candles`, which of them to `drawn_candles`.
"""

import math
from typing import Any, cast

import numpy as np
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, CustomJSTickFormatter, HoverTool, Range1d
from bokeh.models.annotations import LabelSet
from bokeh.plotting import figure

from polygon_assets.page.candles import NAMES, NUMBERS, Changes, Columns, changes, joined
from polygon_assets.page.drawn_candles import merged, part_of, step_of
from polygon_assets.page.figure_style import styled

PRICE_HEIGHT, VOLUME_HEIGHT = 420, 130
BODY = 0.7
"""The body's share of a bar's width."""
FILLED, KNOWN = "#ffb300", "#ab47bc"
UPWARDS = math.pi / 2
MARGIN = 0.5
"""How far beside the visible part candles are sent, in its widths."""


class CandleChart:
    """Two figures with one time axis; `place` puts columns on them, `change` updates them.

    The browser has the candles in and beside the visible part; of too many, neighbours are drawn as
    one.
    """

    def __init__(self, *, dark: bool) -> None:
        self.loaded: Columns = {name: [] for name in NAMES}
        """Every candle, whether drawn or not; only this class changes them."""
        self.step = 1
        """How many places of the axis one candle stands for."""
        self._width_ms = 1.0
        self._reach = (0.0, 0.0)
        """The part of the axis whose candles the browser has; whole intervals."""
        self.source = ColumnDataSource({name: [] for name in NAMES})
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
    def _drawn(self) -> Columns:
        """The candles that the browser has."""
        return cast("Columns", self.source.data)

    def place(self, columns: Columns, width_ms: float, shown: tuple[float, float]) -> None:
        """Replace every candle; `width_ms` is a bar's width, `shown` the visible range."""
        self.loaded, self._width_ms = columns, width_ms
        self.range.start, self.range.end = shown
        self._draw()

    def prepend(self, older: Columns) -> None:
        """Add candles to the left."""
        self.loaded = joined(older, self.loaded)
        self._draw()

    def change(self, change: Changes) -> None:
        """Bring candles up to date; a chart whose end is visible moves on with new ones."""
        if not change:
            return
        newest, places = self.loaded["start"][-1], [len(self.loaded["start"])]
        for name, cells in change.patches.items():
            for place, value in cells:
                self.loaded[name][place] = value
                places.append(place)
        for name, values in change.added.items():
            self.loaded[name].extend(values)
        self._follow(newest)
        if len(self._drawn["start"]) and self._reaches_far_enough():
            self._draw_changes(self.loaded["start"][min(places)])
        else:
            self._draw()

    def refresh(self, newer: Columns) -> None:
        """Replace every candle from the first of `newer` on."""
        newest = self.loaded["start"][-1]
        self.loaded = joined(self.loaded, newer)
        self._follow(newest)
        self._draw()

    def clear(self) -> None:
        """Show no candle."""
        self.loaded = {name: [] for name in NAMES}
        self._draw()

    def look(self) -> None:
        """Draw what another visible part of the axis needs."""
        if self._reaches_far_enough():
            self._fit()
        else:
            self._draw()

    def _reaches_far_enough(self) -> bool:
        """Whether the browser has every candle of the visible part, merged as it should be."""
        since, until = self.shown
        starts, (first, last) = self.loaded["start"], self._reach
        if not starts:
            return True
        has_earlier = since < first and starts[0] < first
        has_later = until >= last and starts[-1] >= last
        return not has_earlier and not has_later and self._step() == self.step

    def _step(self) -> int:
        return step_of(self.loaded["start"], self.shown, self._width_ms, self.step)

    def _draw(self) -> None:
        """Send the candles in and beside the visible part."""
        since, until = self.shown
        beside, self.step = MARGIN * (until - since), self._step()
        width = self.step * self._width_ms
        self._reach = (since - beside) // width * width, -(-(until + beside) // width) * width
        self.source.data = _as_arrays(self._within(*self._reach))
        for glyph in self._bodies:
            glyph.width = BODY * width
        self._fit()

    def _draw_changes(self, since: float) -> None:
        """Send what has changed from a place on the axis on."""
        width, (first, last) = self.step * self._width_ms, self._reach
        change = changes(self._drawn, self._within(max(first, since // width * width), last))
        if change.patches:
            self.source.patch(change.patches)
        if change.added["start"]:
            self.source.stream(dict(change.added))
        self._fit()

    def _within(self, since: float, until: float) -> Columns:
        """The candles of a part of the axis, as they are drawn."""
        part = part_of(self.loaded, since, until)
        return part if self.step == 1 else merged(part, self.step * self._width_ms)

    def _follow(self, before: float) -> None:
        """Move on to the newest candle if the one before it was visible or to the left."""
        moved = self.loaded["start"][-1] - before
        if moved and before <= self.shown[1]:
            self.range.update(start=self.shown[0] + moved, end=self.shown[1] + moved)

    def _fit(self) -> None:
        """Fit the price axis to the visible candles."""
        visible = part_of(self._drawn, *self.shown)
        low, high = (np.asarray(visible[name], float) for name in ("low", "high"))
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
        chart, source = self.price, self.source
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
                    ("candles", "@count"),
                ],
                formatters={"@start": "datetime"},
                mode="vline",
                limit=1,
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
            "start", 1, "volume", 0, fill_color="color", line_color=None, source=self.source
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
