"""The lines that every view has: when the market is silent."""

import datetime as dt

from polygon_assets.page.frame import SILENT_SECONDS, silence_line

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)


def test_silence_is_named_once_a_new_second_is_overdue() -> None:
    limit = dt.timedelta(seconds=SILENT_SECONDS)
    assert silence_line(NOW - limit, NOW) == ""
    late = silence_line(NOW - limit - dt.timedelta(seconds=1), NOW)
    assert "no new second of any symbol for 7 s" in late
    assert silence_line(None, NOW) == ""
