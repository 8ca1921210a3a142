"""The manifest as data: its streams, and the specification that Airbyte renders as a form.

Running the connector belongs to processes/test_source_polygon.py.
"""

import datetime as dt

import pytest

from polygon_assets.batch.airbyte.connector import CONNECTIONS, Stream, manifest, streams
from polygon_assets.batch.airbyte.connector_state import with_new_tickers

FORM = manifest()["spec"]["connection_specification"]


def test_every_stream_belongs_to_one_connection() -> None:
    assert sorted(name for names in CONNECTIONS.values() for name in names) == sorted(streams())


@pytest.mark.parametrize("stream", streams().values(), ids=lambda stream: stream.name)
def test_every_field_has_a_type_and_a_description_and_keys_and_cursor_are_fields(
    stream: Stream,
) -> None:
    assert {
        *stream.primary_key,
        *([stream.cursor] if stream.cursor else []),
    } <= stream.properties.keys()
    assert all(
        schema["type"] and schema["description"].endswith(".")
        for schema in stream.properties.values()
    )
    assert all(
        stream.properties[key]["type"] in ("string", "integer", "boolean")
        for key in stream.primary_key
    ), "a key is never null"


def test_no_two_fields_of_a_stream_become_the_same_column() -> None:
    for stream in streams().values():
        assert len({name.upper() for name in stream.properties}) == len(stream.properties)


def test_the_form_explains_each_field_in_order_and_hides_the_key() -> None:
    fields = FORM["properties"]
    assert [field["order"] for field in fields.values()] == list(range(len(fields)))
    assert all(field["title"] and field["description"] for field in fields.values())
    assert [name for name, field in fields.items() if field.get("airbyte_secret")] == ["api_key"]
    assert [
        name
        for name, field in fields.items()
        if "default" not in field and name not in FORM["required"]
    ] == ["end_date"]


def test_a_new_ticker_starts_at_the_start_date_and_the_others_keep_their_state() -> None:
    known = {"partition": {"ticker": "AAPL"}, "cursor": {"date": "2026-11-20T00:00:00"}}
    state = {
        "use_global_cursor": False,
        "states": [known],
        "state": {"date": "2026-11-20T00:00:00"},
        "lookback_window": 1,
    }
    new = {"partition": {"ticker": "MSFT"}, "cursor": {"date": "2026-11-02"}}
    assert with_new_tickers(state, ["AAPL", "MSFT"], dt.date(2026, 11, 2)) == state | {
        "states": [known, new]
    }
    assert state["states"] == [known]
