"""`polygon-assets airbyte plan|apply` on the embedded Airbyte: what is shown, changed and kept.

Answers that the embedded Airbyte does not give belong to unit/batch/airbyte/test_stubbed_airbyte.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner, Result

from polygon_assets.batch.airbyte.connector import DAILY_CONNECTION, manifest
from polygon_assets.cli import main
from polygon_assets.settings import Settings
from polygon_assets_tests.airbyte_calls import AirbyteCalls
from polygon_assets_tests.processes.test_airbyte_api import airbyte_settings, alone

__all__ = ["airbyte_settings", "alone"]
NO_CHANGE, DIFFERENT = 0, 2
OBJECTS = (
    "connector polygon",
    "source polygon",
    "destination snowflake",
    "connection polygon_reference",
    "connection polygon_daily",
)


@pytest.fixture(autouse=True)
def environment(airbyte_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings as environment variables, which the commands read."""
    names = [name for name in Settings.model_fields if name.startswith(("airbyte_", "snowflake_"))]
    for name in [*names, "polygon_api_key", "polygon_rest_url"]:
        value = getattr(airbyte_settings, name)
        secret = getattr(value, "get_secret_value", None)
        monkeypatch.setenv(name.upper(), str(secret() if secret else value))


@pytest.fixture(scope="module")
def api(airbyte_settings: Settings) -> Iterator[AirbyteCalls]:
    with closing(AirbyteCalls(airbyte_settings)) as client:
        yield client


def run(*arguments: str, answer: str = "") -> Result:
    result = CliRunner().invoke(main, ["airbyte", *arguments], input=answer)
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert "-secret" not in result.output.replace("--write-secrets", "")
    return result


@pytest.fixture
def applied() -> None:
    run("apply", "--yes")


def everything(api: AirbyteCalls) -> Any:
    return api.definitions(), api.sources(), api.destinations(), api.connections()


def daily(api: AirbyteCalls) -> dict[str, Any]:
    [connection] = [item for item in api.connections() if item["name"] == DAILY_CONNECTION]
    return connection


def test_a_plan_changes_nothing_and_an_apply_is_complete(api: AirbyteCalls) -> None:
    for definition in api.definitions():
        workspace = f"/workspaces/{api.workspace_id}"
        api.delete(f"{workspace}/definitions/declarative_sources/{definition['id']}")
    for destination in api.destinations():
        api.delete(f"/destinations/{destination['destinationId']}")
    empty = everything(api)
    assert empty == ([], [], [], [])
    shown = run("plan", "--start-date", "2026-11-02")
    assert shown.exit_code == DIFFERENT
    assert [line.split(":")[0] for line in shown.stdout.splitlines()] == [
        f"+ create {title}" for title in OBJECTS
    ]
    assert everything(api) == empty
    assert run("apply", "--start-date", "2026-11-02", answer="n\n").exit_code == 1
    assert everything(api) == empty
    applied = run("apply", "--start-date", "2026-11-02", answer="y\n")
    assert applied.exit_code == NO_CHANGE, applied.output
    assert [line for line in applied.stdout.splitlines() if line.startswith("done")] == [
        f"done: {title} created" for title in OBJECTS
    ]


@pytest.mark.usefixtures("applied")
def test_a_second_apply_sends_nothing_and_asks_nothing(api: AirbyteCalls) -> None:
    before = everything(api)
    for command in ("plan", "apply"):
        again = run(command)
        assert again.exit_code == NO_CHANGE
        assert again.stdout.splitlines()[:5] == [f"= {title}" for title in OBJECTS]
        assert again.output.endswith("no difference\n")
    assert everything(api) == before


@pytest.mark.usefixtures("applied")
def test_a_changed_setting_is_shown_with_both_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYGON_REQUESTS_PER_MINUTE", "7")
    monkeypatch.setenv("SNOWFLAKE_WAREHOUSE", "LARGE")
    shown = run("plan")
    assert shown.exit_code == DIFFERENT
    assert shown.stdout.splitlines()[:2] == [
        "~ source polygon: requests_per_minute: 5 -> 7",
        '~ destination snowflake: warehouse: "" -> LARGE',
    ]
    assert run("apply", "--yes").exit_code == run("plan").exit_code == NO_CHANGE


@pytest.mark.usefixtures("applied")
def test_an_older_connector_is_replaced_and_the_other_streams_keep_their_states(
    api: AirbyteCalls,
) -> None:
    [definition] = api.definitions()
    state = {"date": "2026-11-20"}
    api.put_states(daily(api)["connectionId"], {"grouped_daily": state})
    keep = [stream for stream in manifest()["streams"] if stream["name"] != "daily_open_close"]
    api.update_definition(definition["id"], {**manifest(), "streams": keep})
    [source] = api.sources()
    api.stream_properties(source["sourceId"], fresh=True)
    api.patch_connection(
        daily(api)["connectionId"],
        {
            "configurations": {
                "streams": [{"name": "grouped_daily", "syncMode": "incremental_deduped_history"}]
            }
        },
    )
    shown = run("plan").output
    assert "~ connector polygon: manifest.streams.daily_open_close.$parameters." in shown
    assert f"version {definition['version'] + 1} -> the next; Airbyte keeps the old one" in shown
    assert (
        "~ connection polygon_daily: stream daily_open_close: not selected -> "
        "incremental_deduped_history"
    ) in shown
    assert run("apply", "--yes").exit_code == run("plan").exit_code == NO_CHANGE
    assert api.states(daily(api)["connectionId"]) == {"grouped_daily": state}
    assert [item["name"] for item in daily(api)["configurations"]["streams"]] == [
        "grouped_daily",
        "daily_open_close",
    ]


@pytest.mark.usefixtures("applied")
def test_a_change_that_would_delete_a_state_is_left_to_a_person(api: AirbyteCalls) -> None:
    configured = daily(api)
    extra = {"name": "tickers", "syncMode": "incremental_deduped_history"}
    streams = configured["configurations"]["streams"]
    api.patch_connection(
        configured["connectionId"], {"configurations": {"streams": [*streams, extra]}}
    )
    api.put_states(configured["connectionId"], {"tickers": {"last": "x"}})
    applied = run("apply", "--yes")
    assert applied.exit_code == DIFFERENT
    assert "! connection polygon_daily: stream tickers: selected, but not declared here" in (
        applied.output
    )
    assert api.states(configured["connectionId"])["tickers"] == {"last": "x"}
    api.patch_connection(configured["connectionId"], {"configurations": {"streams": streams}})
    assert "tickers" not in api.states(configured["connectionId"])
    assert run("plan").exit_code == NO_CHANGE


@pytest.mark.usefixtures("applied")
def test_a_rotated_secret_is_written_on_request(
    api: AirbyteCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYGON_API_KEY", "rotated-secret")
    hidden = run("plan")
    assert hidden.exit_code == NO_CHANGE
    assert "note: Airbyte masks the stored API key" in hidden.output
    shown = run("plan", "--write-secrets")
    assert shown.exit_code == DIFFERENT
    assert "~ source polygon: api_key: (secret) -> (secret), written" in shown.output
    assert run("apply", "--write-secrets", "--yes").exit_code == NO_CHANGE
    [source] = api.sources()
    assert source["configuration"]["api_key"] == "**********"


@pytest.mark.usefixtures("applied")
def test_objects_of_others_are_named_and_stay(api: AirbyteCalls) -> None:
    [definition], [source], _, _ = everything(api)
    [mine] = api.destinations()
    configuration = {**source["configuration"], "api_key": "k"}
    other = api.create_source("other", definition["id"], configuration)
    api.create_connection(
        {"name": "theirs", "sourceId": other["sourceId"], "destinationId": mine["destinationId"]}
    )
    before = everything(api)
    shown = run("apply", "--yes")
    assert shown.exit_code == NO_CHANGE
    assert "not touched: source other\nnot touched: connection theirs\n" in shown.output
    assert everything(api) == before
    api.delete(f"/sources/{other['sourceId']}")
