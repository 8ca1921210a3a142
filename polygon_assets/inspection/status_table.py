"""The facts of `status` as tables for people, which fit 80 columns.

Only the display belongs here; what is healthy belongs to `status`.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from polygon_assets.inspection.status import WORKING_STATES

Facts = dict[str, Any]
STREAM_COLUMNS = ("streams", "state", "rate", "lag", "newest (UTC)", "delay", "refused")
DETAIL_WIDTH = 24
COUNTS = ("restarts", "reconnects", "retries")


def render(facts: Facts) -> Group:
    """The facts as tables and sentences."""
    services = [
        (_mark(service["ok"]) + name, service["endpoint"], escape(_service_detail(service)))
        for name, service in facts["services"].items()
    ]
    programs = [
        (_mark(_is_well(stream)) + name, *_stream_cells(stream))
        for name, stream in facts["streams"].items()
    ]
    rows = [
        (name, _text(stored["rows"]), _time(stored["newest"]))
        for name, stored in facts["tables"].items()
    ]
    return Group(
        _service_table(services),
        table(STREAM_COLUMNS, programs),
        *(f"  {name}: {escape(detail)}" for name, detail in _details(facts["streams"])),
        table(("tables", "rows", "newest"), rows),
        f"gaps open: {_text(facts['gaps']['open'])}, "
        f"filling: {_text(facts['gaps']['filling'])}, "
        f"verified: {_text(facts['gaps']['verified'])}"
        + ("; polygon-assets gaps lists them" if facts["gaps"]["open"] else ""),
        *(f"[red]●[/] {escape(_alert(alert))}" for alert in facts.get("alerts") or ()),
        *(f"[red]●[/] {escape(problem)}" for problem in facts["problems"]),
        "[green]healthy[/]" if facts["healthy"] else "[red]not healthy[/]",
    )


def _service_detail(service: Facts) -> str:
    restarts = service.get("restarts", 0)
    return (
        f"{service['detail']} (restarted {restarts} times by the stack)"
        if restarts
        else str(service["detail"])
    )


def _alert(alert: Facts) -> str:
    subject = f" ({alert['subject']})" if alert["subject"] else ""
    return f"alert {alert['alert']}{subject} since {_time(alert['since'])}: {alert['detail']}"


def _is_well(stream: Facts) -> bool:
    return stream["state"] in WORKING_STATES and not stream["problems"]


def _stream_cells(stream: Facts) -> tuple[str, ...]:
    delay = stream["arrival_delay_seconds"]
    return (
        stream["state"],
        "-" if stream["rate"] is None else f"{stream['rate']:,.0f}/s",
        _text(stream["lag"]),
        _time(stream["newest_event"], "%m-%d %H:%M:%S"),
        "-" if delay is None else f"{delay:.1f} s",
        _text(stream["refused"]),
    )


def _details(streams: Mapping[str, Facts]) -> Iterator[tuple[str, str]]:
    """What there is to say of each program besides its numbers."""
    for name, stream in streams.items():
        counts = [f"{stream[count]:,} {count}" for count in COUNTS if stream[count]]
        if detail := ", ".join(filter(None, (stream["detail"], *counts))):
            yield name, detail


def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    """Columns without lines around them."""
    shown = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    shown.columns[0].no_wrap = True
    for row in rows:
        shown.add_row(*row)
    return shown


def _service_table(rows: Sequence[tuple[str, ...]]) -> Table:
    """An address stays on one line; beside a long one the detail is wrapped."""
    shown = table(("services", "endpoint", "detail"), rows)
    shown.columns[1].no_wrap, shown.columns[1].overflow = True, "fold"
    shown.columns[2].min_width, shown.columns[2].overflow = DETAIL_WIDTH, "fold"
    return shown


def _mark(ok: bool) -> str:
    return "[green]●[/] " if ok else "[red]●[/] "


def _time(iso: str | None, form: str = "%Y-%m-%d %H:%M:%S UTC") -> str:
    return "-" if iso is None else dt.datetime.fromisoformat(iso).strftime(form)


def _text(value: object) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
