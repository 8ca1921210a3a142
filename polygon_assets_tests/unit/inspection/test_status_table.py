"""The table that `status` prints."""

import io

from rich.console import Console

from polygon_assets.inspection.status import stream_facts
from polygon_assets.inspection.status_table import render
from polygon_assets.messages import PROGRAMS
from polygon_assets_tests.unit.inspection.status_samples import DEFAULTS, NOW, beat, picture


def test_the_table_holds_numbers_that_people_can_read() -> None:
    text = io.StringIO()
    Console(file=text, width=200).print(render({"healthy": True, **picture()}))
    for part in (
        "127.0.0.1:9092",
        "51/s",
        "1,234,567",
        "2026-11-20 15:00:00 UTC",
        "gaps open: 2",
        "healthy",
    ):
        assert part in text.getvalue()


def test_the_table_fits_80_columns_and_cuts_no_path() -> None:
    stream = stream_facts(beat("backing_off"), NOW, DEFAULTS) | {
        **{"rate": 12_345.0, "lag": 1_234_567, "refused": 123_456, "restarts": 4},
        **{"detail": "10,000/10,000 channels confirmed", "arrival_delay_seconds": 2.04},
    }
    path = "https://polygon-assets.s3.eu-central-1.example.com/subs"
    detail = "polygon_stream_aggregates 1, custom_filtered_stock_data_topic 2"
    facts = picture() | {
        "healthy": True,
        "services": {"clickhouse": {"ok": True, "endpoint": path, "detail": detail}},
        "streams": dict.fromkeys(PROGRAMS, stream),
    }
    text = io.StringIO()
    Console(file=text, width=80).print(render(facts))
    lines = text.getvalue().splitlines()
    assert path in lines[1]
    assert "…" not in text.getvalue()
    program = next(line for line in lines if "● producer" in line)
    assert program.split() == [
        *("●", "producer", "backing_off", "12,345/s", "1,234,567"),
        *("11-20", "14:59:57", "2.0", "s", "123,456"),
    ]
    assert "  producer: 10,000/10,000 channels confirmed, 4 restarts" in lines


def test_a_firing_alert_is_shown_with_its_subject_and_beginning() -> None:
    alert = {"alert": "lag", "subject": "sink", "since": NOW.isoformat(), "detail": "too late"}
    text = io.StringIO()
    Console(file=text, width=200).print(render({"healthy": True, **picture(), "alerts": [alert]}))
    assert "alert lag (sink) since 2026-11-20 15:00:00 UTC: too late" in text.getvalue()
