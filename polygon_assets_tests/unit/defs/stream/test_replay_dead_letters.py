"""The job that replays dead letters: which configuration selects which letters.

The replay itself belongs to processes/test_dead_letters.py.
"""

import datetime as dt
from typing import Any

import dagster as dg
import pytest

from polygon_assets.defs.stream.replay_dead_letters import LettersToReplay, selection
from polygon_assets.serving.dead_letters import Selection


def test_a_configuration_without_a_selection_is_refused_unless_it_says_everything() -> None:
    with pytest.raises(dg.Failure, match="set everything: true"):
        selection(LettersToReplay(again=True))
    assert selection(LettersToReplay(everything=True)) == Selection()


def test_ids_and_filters_are_taken_over() -> None:
    chosen = selection(
        LettersToReplay(
            letter_ids=["a"],
            program="filter",
            stage="validate",
            reason="price",
            since="2026-11-20",
            until="2026-11-21T00:00Z",
        )
    )
    assert chosen == Selection(
        ("a",),
        "filter",
        "validate",
        "price",
        dt.datetime(2026, 11, 20, 5, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
    )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"program": "producr"},
            "program 'producr' is none of producer, filter, sink, archiver, unknown",
        ),
        ({"stage": "row"}, "stage 'row' is none of frame, event, validate, insert, unknown"),
        ({"since": "noon"}, "since: 'noon' is no time such as"),
    ],
)
def test_a_wrong_value_is_refused_with_the_right_ones(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(dg.Failure, match=sentence):
        selection(LettersToReplay(**wrong))
