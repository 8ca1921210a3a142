"""`airbyte plan|apply` against answers that the embedded Airbyte does not give, and what is sent.

Requests are compared with the models of Airbyte's own SDK (PyPI: airbyte-api), which are generated
from its public OpenAPI. What the embedded Airbyte answers belongs to processes/test_airbyte_plan.
"""

import datetime as dt
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from airbyte_api import models
from click.testing import CliRunner, Result
from pydantic import BaseModel, SecretStr

from polygon_assets.batch.airbyte.connector import streams
from polygon_assets.batch.airbyte.declaration import declaration
from polygon_assets.cli import main
from polygon_assets.settings import Settings
from polygon_assets_tests.airbyte_stub import AirbyteStub, airbyte_stub
from polygon_assets_tests.airbyte_workspace import EMPTY, as_declared

NO_CHANGE, FAILED, DIFFERENT = 0, 1, 2
START = "2026-11-02"
SETTINGS = {
    "AIRBYTE_WORKSPACE_ID": "w",
    "AIRBYTE_CLIENT_ID": "application",
    "AIRBYTE_CLIENT_SECRET": "HIDDEN-CLIENT-SECRET",
    "POLYGON_API_KEY": "HIDDEN-API-KEY",
    "SNOWFLAKE_ACCOUNT": "ORG-ACCOUNT",
    "SNOWFLAKE_USER": "AIRBYTE",
    "SNOWFLAKE_PRIVATE_KEY": "HIDDEN-PRIVATE-KEY",
    "SNOWFLAKE_ROLE": "LOADER",
    "SNOWFLAKE_WAREHOUSE": "SMALL",
}
DECLARED = declaration(
    Settings(
        airbyte_workspace_id="w",
        polygon_api_key=SecretStr("HIDDEN-API-KEY"),
        snowflake_account="ORG-ACCOUNT",
        snowflake_user="AIRBYTE",
        snowflake_private_key=SecretStr("HIDDEN-PRIVATE-KEY"),
        snowflake_role="LOADER",
        snowflake_warehouse="SMALL",
    ),
    dt.date.fromisoformat(START),
)
DAILY = ("grouped_daily", "daily_open_close")
STATES = {name: {"date": "2026-11-20"} for name in DAILY}


@pytest.fixture
def airbyte(monkeypatch: pytest.MonkeyPatch) -> Iterator[AirbyteStub]:
    """A stub with the declared workspace."""
    with airbyte_stub() as server:
        for name, value in {**SETTINGS, **server.environment}.items():
            monkeypatch.setenv(name, value)
        server.workspace = deepcopy(as_declared(DECLARED))
        server.offered = list(streams())
        server.states = dict(STATES)
        yield server


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["airbyte", *arguments, "--start-date", START])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert "HIDDEN" not in result.output
    return result


def lose_a_stream(server: AirbyteStub) -> None:
    server.workspace.connections[1]["configurations"]["streams"].pop()


def test_a_workspace_as_declared_gets_no_request(airbyte: AirbyteStub) -> None:
    for arguments in (["plan"], ["apply"]):
        shown = run(*arguments)
        assert (shown.exit_code, shown.stdout.splitlines()[-1]) == (NO_CHANGE, "no difference")
    assert airbyte.sent == []


def test_a_schedule_that_somebody_turned_on_is_turned_off_and_nothing_else_is_sent(
    airbyte: AirbyteStub,
) -> None:
    cron = {"scheduleType": "cron", "cronExpression": "0 0 8 * * ? UTC"}
    airbyte.workspace.connections[1]["schedule"] = cron
    assert run("plan").exit_code == DIFFERENT
    assert airbyte.sent == []
    # The stub never changes its workspace, so the second plan still finds the difference.
    applied = run("apply", "--yes")
    assert applied.exit_code == FAILED
    assert (
        "Airbyte accepted the changes, but does not show them: ~ connection polygon_daily: "
        "schedule: cron 0 0 8 * * ? UTC -> manual; look at"
    ) in applied.output
    [(method, path, body)] = airbyte.sent
    assert (method, path) == ("PATCH", "/v1/connections/polygon_daily")
    assert body == {"schedule": {"scheduleType": "manual"}}


def test_refused_rights_name_the_cure_and_stop_before_the_next_object(
    airbyte: AirbyteStub,
) -> None:
    airbyte.workspace = EMPTY
    problem = {"title": "forbidden", "detail": "You don't have permission to access this."}
    airbyte.refusals[("POST", "/v1/workspaces/w/definitions")] = (403, problem)
    applied = run("apply", "--yes")
    assert applied.exit_code == FAILED
    assert "HTTP 403: You don't have permission to access this.; the application" in applied.output
    assert "must be an editor of the workspace" in applied.output
    assert "done:" not in applied.output
    assert len(airbyte.sent) == 1


def test_a_conflict_stops_after_the_objects_that_were_made(airbyte: AirbyteStub) -> None:
    airbyte.workspace = EMPTY
    problem = {"detail": "Conflict", "data": {"message": "source is being changed"}}
    airbyte.refusals[("POST", "/v1/sources")] = (409, problem)
    applied = run("apply", "--yes")
    assert applied.exit_code == FAILED
    assert "done: connector polygon created\n" in applied.output
    assert "source polygon: POST" in applied.output
    assert "source is being changed; somebody else may have changed the workspace" in applied.output


def test_a_refusal_that_quotes_a_secret_is_shown_without_it(airbyte: AirbyteStub) -> None:
    airbyte.workspace = replace(airbyte.workspace, sources=[])
    problem = {"detail": "api_key HIDDEN-API-KEY is not valid"}
    airbyte.refusals[("POST", "/v1/sources")] = (422, problem)
    assert "api_key *** is not valid" in run("apply", "--yes").output


def test_a_creation_that_may_have_happened_is_not_repeated(airbyte: AirbyteStub) -> None:
    airbyte.workspace = EMPTY
    airbyte.refusals[("POST", "/v1/workspaces")] = (500, {"detail": "unexpected"})
    assert run("apply", "--yes").exit_code == FAILED
    assert len(airbyte.sent) == 1


def test_a_state_that_airbyte_drops_without_a_reason_is_put_back(airbyte: AirbyteStub) -> None:
    lose_a_stream(airbyte)
    airbyte.states_after_patch = {}
    run("apply", "--yes")
    assert [sent.path for sent in airbyte.sent] == [
        "/v1/connections/polygon_daily",
        "/api/v1/state/create_or_update_safe",
    ]
    restored = airbyte.sent[1].body["connectionState"]["streamState"]
    # The stream that was lost has no state to keep: it is read from its start.
    assert restored == [
        {
            "streamDescriptor": {"name": "grouped_daily"},
            "streamState": STATES["grouped_daily"],
        }
    ]


def test_states_that_stay_are_not_written(airbyte: AirbyteStub) -> None:
    lose_a_stream(airbyte)
    run("apply", "--yes")
    assert [sent.method for sent in airbyte.sent] == ["PATCH"]


def test_a_discovery_that_lost_a_stream_changes_no_connection(airbyte: AirbyteStub) -> None:
    lose_a_stream(airbyte)
    airbyte.offered.remove("daily_open_close")
    applied = run("apply", "--yes")
    assert applied.exit_code == FAILED
    assert "source polygon offers no stream daily_open_close in workspace w" in applied.output
    assert airbyte.sent == []


def test_a_refusal_leaves_the_other_changes_made_and_the_exit_code_tells(
    airbyte: AirbyteStub,
) -> None:
    airbyte.workspace.connections[1]["prefix"] = "x_"
    applied = run("apply", "--yes")
    assert (applied.exit_code, airbyte.sent) == (DIFFERENT, [])
    assert "! connection polygon_daily: prefix: x_ -> none; not changed" in applied.output


def assert_fits(model: type[BaseModel], body: dict[str, Any]) -> None:
    """The body has the model's fields only, and the model understands every one of them."""
    known = {field.alias or name for name, field in model.model_fields.items()}
    assert body.keys() <= known, model
    understood = model.model_validate(body).model_dump(by_alias=True, mode="json")
    assert body.items() <= {name: understood.get(name) for name in body}.items(), model


def test_every_creation_fits_airbytes_public_api(airbyte: AirbyteStub) -> None:
    airbyte.workspace = EMPTY
    run("apply", "--yes")
    requests = {(sent.method, sent.path): sent.body for sent in airbyte.sent}
    assert list(requests) == [
        ("POST", "/v1/workspaces/w/definitions/declarative_sources"),
        ("POST", "/v1/sources"),
        ("POST", "/v1/destinations"),
        ("POST", "/v1/connections"),
    ]
    definition, source, destination, connection = requests.values()
    assert_fits(models.CreateDeclarativeSourceDefinitionRequest, definition)
    assert_fits(models.ConnectionCreateRequest, connection)
    for model, body in (
        (models.SourceCreateRequest, source),
        (models.DestinationCreateRequest, destination),
    ):
        # The SDK chooses a configuration's model by its type, which a custom connector lacks.
        assert body.keys() <= {field.alias or name for name, field in model.model_fields.items()}
    assert_fits(models.DestinationSnowflake, destination["configuration"])


def test_every_change_fits_airbytes_public_api(airbyte: AirbyteStub) -> None:
    lose_a_stream(airbyte)
    airbyte.workspace.connections[1] |= {"status": "inactive", "schedule": {"scheduleType": "cron"}}
    airbyte.workspace.definitions[0]["manifest"]["version"] = "7.0.0"
    airbyte.workspace.destinations[0]["configuration"]["role"] = "OTHER"
    airbyte.workspace.sources[0]["configuration"]["requests_per_minute"] = 7
    run("apply", "--yes")
    definition, source, destination, connection = (sent.body for sent in airbyte.sent)
    assert_fits(models.UpdateDeclarativeSourceDefinitionRequest, definition)
    assert source == {"configuration": {"requests_per_minute": 5}}
    assert destination.keys() <= {"name", "configuration"}
    assert_fits(models.DestinationSnowflake, destination["configuration"])
    assert_fits(models.ConnectionPatchRequest, connection)
    assert connection.keys() == {"status", "schedule", "configurations"}
