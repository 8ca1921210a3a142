"""What the facts of `status` mean: healthy or not, alive or silent, and the cause by name.

The table belongs to test_status_table, the systems that are asked to test_status_services.
"""

import io
from typing import Any

import pytest
from rich.console import Console

from polygon_assets.inspection.status import problems, stream_facts
from polygon_assets.inspection.status_table import render
from polygon_assets.messages import PROGRAMS
from polygon_assets_tests.unit.inspection.status_samples import DEFAULTS, NOW, beat, picture


@pytest.mark.parametrize(
    ("facts", "market_is_open", "healthy"),
    [
        (picture(), True, True),
        (picture(state="backing_off"), True, False),
        (picture(state="stopped"), False, True),
        (picture(service_ok=False), False, False),
        (picture() | {"streams": {}}, True, False),
    ],
)
def test_healthy_means_every_service_answers_and_an_open_market_streams(
    facts: dict[str, Any], market_is_open: bool, healthy: bool
) -> None:
    assert (not problems(facts, market_is_open)) is healthy


def test_a_program_without_a_recent_heartbeat_is_silent_whatever_its_last_state() -> None:
    facts = stream_facts(beat(age_seconds=60), NOW, DEFAULTS)
    assert (facts["state"], facts["rate"], facts["detail"]) == (
        "silent",
        0.0,
        "no heartbeat for 60 s",
    )


def test_a_program_that_stopped_is_stopped_however_long_ago() -> None:
    assert stream_facts(beat("stopped", age_seconds=3600), NOW, DEFAULTS)["state"] == "stopped"


def test_a_running_producer_shows_its_channels_restarts_reconnects_and_retries() -> None:
    facts = stream_facts(
        beat(
            desired=52,
            confirmed=51,
            counters={"reconnects": 3, "retries": 2, "refused": 1},
            restarts=4,
        ),
        NOW,
        DEFAULTS,
    )
    assert (facts["state"], facts["detail"]) == ("streaming", "51/52 channels confirmed")
    assert (facts["restarts"], facts["reconnects"], facts["retries"], facts["refused"]) == (
        4,
        3,
        2,
        1,
    )


SKEWED: dict[str, Any] = {"arrival_delay_ms": -8_000}

REFUSING: dict[str, Any] = {
    "recent_read": 93,
    "recent_refused": 93,
    "last_refusal": "end_timestamp is later than its arrival",
}

LOSING: dict[str, Any] = {"counters": {"read": 10, "forwarded": 9}}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"arrival_delay_ms": 2_000}, ""),
        ({"recent_read": 100, "recent_refused": 1}, ""),
        (SKEWED, "bars arrive 8.0 s before their second ends"),
        (
            REFUSING,
            "refused 93 of 93 events in the last five minutes, "
            "the newest because: end_timestamp is later than its arrival",
        ),
        (LOSING, "cannot account for 1 of 10 events"),
    ],
)
def test_a_program_that_streams_but_refuses_or_loses_is_not_healthy_and_the_cause_is_named(
    changes: dict[str, Any], problem: str
) -> None:
    facts = picture() | {
        "streams": dict.fromkeys(PROGRAMS, stream_facts(beat(**changes), NOW, DEFAULTS))
    }
    shown = problems(facts, market_is_open=True)
    assert bool(shown) is bool(problem)
    assert all(f"{name}: {problem}" in "\n".join(shown) for name in PROGRAMS if problem)
    text = io.StringIO()
    Console(file=text, width=250).print(render(facts | {"problems": shown, "healthy": not shown}))
    assert problem in text.getvalue()


def test_refusals_of_a_stopped_program_are_no_problem() -> None:
    assert stream_facts(beat("stopped", **REFUSING), NOW, DEFAULTS)["problems"] == []


def test_an_unreadable_gap_ledger_is_a_problem() -> None:
    assert problems(picture() | {"gaps": {"open": None, "filling": 0}}, market_is_open=False)


def test_a_program_that_never_ran_is_never_seen() -> None:
    assert stream_facts(None, NOW, DEFAULTS)["state"] == "never seen"
