"""The colours that all figures of the page share, dark and light.

Add what every figure looks like here; what a figure draws belongs to its module.
"""

from typing import Any


def styled(shown: Any, *, dark: bool) -> Any:
    """A figure in the page's colours."""
    ink, paper = ("#c9d1d9", "#15181d") if dark else ("#333a44", "#ffffff")
    shown.toolbar.logo = None
    shown.background_fill_color = shown.border_fill_color = paper
    shown.outline_line_color = None
    shown.grid.grid_line_color = ink
    shown.grid.grid_line_alpha = 0.12
    for axis in shown.axis:
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = ink
        axis.major_label_text_color = axis.axis_label_text_color = ink
    for legend in shown.legend:
        legend.background_fill_alpha = 0
        legend.border_line_color = None
        legend.label_text_color = ink
    return shown
