"""Charts for asset pages, as Markdown images that carry their picture and need no server.

Add a kind of chart here; what it shows belongs to the asset. Its colours are readable on a light
and on a dark page.
"""

import base64
import datetime as dt
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from pygal.graph.graph import Graph

WIDTH, HEIGHT = 900, 300
GOOD, FAIR, BAD, NEUTRAL = "#26a69a", "#ffb300", "#ef5350", "#9e9e9e"
INK = "#808890"
ONE_HOUR = dt.timedelta(hours=1)
SHOWN_TIMES = 12
TREND_WIDTH, TREND_HEIGHT = 480, 48


def stacked_bars(
    title: str, columns: Sequence[str], series: Mapping[str, Sequence[float]], colors: Sequence[str]
) -> dg.MarkdownMetadataValue:
    """One bar for each column; each series is a part of every bar, in its colour."""
    import pygal

    chart = pygal.StackedBar(**_options(title, colors))
    chart.x_labels = list(columns)
    for name, values in series.items():
        chart.add(name, list(values))
    return _picture(title, chart)


def line(
    title: str, points: Sequence[tuple[dt.datetime, float]], zone: dt.tzinfo
) -> dg.MarkdownMetadataValue:
    """Values over time, which is shown as the hours and minutes of a zone."""
    import pygal

    chart = pygal.DateTimeLine(
        **_options(title, [GOOD]),
        show_dots=False,
        fill=True,
        show_legend=False,
        # pygal passes UTC without a zone.
        x_value_formatter=lambda moment: f"{moment.replace(tzinfo=dt.UTC).astimezone(zone):%H:%M}",
    )
    if points:
        first, last = points[0][0], points[-1][0]
        hours = max(1, round((last - first) / (SHOWN_TIMES * ONE_HOUR)))
        count = int((last - first) / (hours * ONE_HOUR)) + 1
        start = first.replace(minute=0, second=0, microsecond=0)
        chart.x_labels = [start + hours * number * ONE_HOUR for number in range(count + 1)]
    chart.add(title, list(points))
    return _picture(title, chart)


def trends(
    title: str,
    rows: Mapping[str, Sequence[tuple[float, float]]],
    texts: Mapping[str, str],
    widest: float,
) -> dg.MarkdownMetadataValue:
    """One small line for each row of points, with its name, a text and its largest value.

    A point's place is from 0 (left) to 1; the line breaks between points further apart than
    `widest`. Plain SVG: a chart of pygal has 15 kB, and thousands of these are written in a day.
    """
    height = TREND_HEIGHT * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{TREND_WIDTH + 220}" height="{height}" '
        f'fill="{INK}" font-family="sans-serif" font-size="13"><title>{escape(title)}</title>'
    ]
    for number, (name, points) in enumerate(rows.items()):
        largest = max(value for _, value in points)
        parts.append(
            f'<g transform="translate(0 {number * TREND_HEIGHT})">'
            f'<text y="18">{escape(name)}</text><text y="36">{escape(texts[name])}</text>'
            f'<path transform="translate(110 4)" fill="none" stroke="{GOOD}" stroke-width="1.5" '
            f'd="{_path(points, largest, widest)}"/>'
            f'<text x="{TREND_WIDTH + 120}" y="18">max {largest:,.4g}</text></g>'
        )
    svg = "".join([*parts, "</svg>"])
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{encoded})")


def _path(points: Sequence[tuple[float, float]], largest: float, widest: float) -> str:
    """The line through the points, 0 at the bottom; a negative value counts as 0."""
    height, top, drawn = TREND_HEIGHT - 8, max(largest, 1e-9), list[str]()
    before = -math.inf
    for place, value in points:
        drawn.append("L" if place - before <= widest else "M")
        drawn.append(f"{place * TREND_WIDTH:.0f} {height - height * max(0.0, value) / top:.0f}")
        before = place
    return "".join(drawn)


def _options(title: str, colors: Sequence[str]) -> dict[str, Any]:
    from pygal.style import Style

    ink = ("foreground", "foreground_strong", "foreground_subtle", "guide_stroke_color")
    style = Style(
        colors=tuple(colors),
        font_family="sans-serif",
        major_guide_stroke_color=INK,
        **dict.fromkeys(ink, INK),
        **dict.fromkeys(("background", "plot_background"), "transparent"),
    )
    return {
        "title": title,
        "width": WIDTH,
        "height": HEIGHT,
        "style": style,
        # Its scripts would come from another server, and an image runs none.
        "js": [],
        "include_x_axis": True,
        "truncate_label": -1,
        "legend_at_bottom": True,
        "no_prefix": True,
    }


def _picture(title: str, chart: "Graph") -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{title}]({chart.render_data_uri()})")
