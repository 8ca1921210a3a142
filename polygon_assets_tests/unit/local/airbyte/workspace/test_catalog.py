"""A connection's choice of streams: the source's definitions apply, other choices are refused."""

from typing import Any

import pytest

from polygon_assets.batch.airbyte.connector import Stream
from polygon_assets.local.airbyte.api.problems import Problem
from polygon_assets.local.airbyte.workspace import catalog
from polygon_assets.local.airbyte.workspace.catalog import StreamChoice

BARS: dict[str, Any] = {
    "name": "bars",
    "json_schema": {"properties": {"ticker": {"type": "string"}, "date": {"type": "string"}}},
    "supported_sync_modes": ["full_refresh", "incremental"],
    "source_defined_cursor": True,
    "default_cursor_field": ["date"],
    "source_defined_primary_key": [["ticker"], ["date"]],
}
TYPES: dict[str, Any] = {
    "name": "types",
    "json_schema": {"properties": {}},
    "supported_sync_modes": ["full_refresh"],
}


def test_without_a_choice_every_stream_is_fully_refreshed() -> None:
    configured = catalog.configure([BARS, TYPES], [])
    assert [(stream.name, catalog.combined_sync_mode(stream)) for stream in configured] == [
        ("bars", "full_refresh_overwrite"),
        ("types", "full_refresh_overwrite"),
    ]
    assert catalog.table(configured[0], "").cursor is None


def test_an_incremental_stream_has_the_sources_key_and_cursor_and_a_prefixed_table() -> None:
    [bars] = catalog.configure(
        [BARS], [StreamChoice(name="bars", sync_mode="incremental_deduped_history")]
    )
    assert catalog.table(bars, "us_") == Stream(
        "us_bars", ("ticker", "date"), "date", BARS["json_schema"]["properties"]
    )


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (
            StreamChoice(name="trades"),
            "Invalid stream found: trades. The list of valid streams include: ['bars', 'types'].",
        ),
        (
            StreamChoice(name="types", sync_mode="incremental_deduped_history"),
            "Valid sync modes are: ['full_refresh_overwrite']",
        ),
        (
            StreamChoice(name="bars", sync_mode="incremental_append"),
            "Cannot set sync mode to incremental_append for stream bars.",
        ),
        (
            StreamChoice(name="bars", cursor_field=["ticker"]),
            "default_cursor_field of stream bars is already defined by the source",
        ),
        (
            StreamChoice(name="bars", primary_key=[["date"]]),
            "source_defined_primary_key of stream bars is already defined by the source",
        ),
    ],
)
def test_a_choice_that_the_source_does_not_offer_is_refused(
    choice: StreamChoice, words: str
) -> None:
    with pytest.raises(Problem) as problem:
        catalog.configure([BARS, TYPES], [choice])
    assert problem.value.status == 400
    assert words in problem.value.content["data"]["message"]


def test_an_incremental_stream_without_a_key_is_refused() -> None:
    keyless = BARS | {"source_defined_primary_key": []}
    with pytest.raises(Problem, match="malformed syntax"):
        catalog.configure(
            [keyless], [StreamChoice(name="bars", sync_mode="incremental_deduped_history")]
        )


def test_a_state_goes_with_its_stream_or_with_a_change_to_full_refresh_and_no_other() -> None:
    bars, types = catalog.configure(
        [BARS, TYPES],
        [
            StreamChoice(name="bars", sync_mode="incremental_deduped_history"),
            StreamChoice(name="types"),
        ],
    )
    [whole_bars] = catalog.configure([BARS], [StreamChoice(name="bars")])
    assert catalog.streams_without_state([bars, types], [bars]) == {"types"}
    assert catalog.streams_without_state([bars, types], [whole_bars, types]) == {"bars"}
    assert catalog.streams_without_state([bars], [types, bars]) == set()
