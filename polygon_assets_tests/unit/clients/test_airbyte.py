"""The client of Airbyte's API: tokens renewed in time, retries where they help, useful errors."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from polygon_assets.clients.airbyte.job_outcome import StreamCounts
from polygon_assets.clients.airbyte.transport import AirbyteError, AirbyteUnavailableError
from polygon_assets.settings import Settings
from polygon_assets_tests.airbyte_calls import AirbyteCalls
from polygon_assets_tests.unit.clients.scripted_server import Answer, ScriptedServer, serving

TOKEN: Answer = (200, {"access_token": "t1", "token_type": "Bearer", "expires_in": 180})


@pytest.fixture
def airbyte() -> Iterator[ScriptedServer]:
    with serving() as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def api(airbyte: ScriptedServer, waits: list[float]) -> Iterator[AirbyteCalls]:
    client = client_of(airbyte.server_port, waits)
    yield client
    client.close()


def client_of(port: int, waits: list[float]) -> AirbyteCalls:
    settings = Settings(
        airbyte_api_url=f"http://127.0.0.1:{port}/v1/",
        airbyte_configuration_api_url=f"http://127.0.0.1:{port}/api/v1",
        airbyte_workspace_id="w",
        airbyte_client_id="id",
    )
    return AirbyteCalls(settings, patience_seconds=0.2, sleep=waits.append)


def test_one_token_serves_many_requests(airbyte: ScriptedServer, api: AirbyteCalls) -> None:
    airbyte.script = [TOKEN, (200, {"jobId": 1}), (200, {"jobId": 2})]
    api.job(1)
    api.job(2)
    assert airbyte.calls == [
        ("POST", "/v1/applications/token", ""),
        ("GET", "/v1/jobs/1", "t1"),
        ("GET", "/v1/jobs/2", "t1"),
    ]


def test_a_rejected_token_is_replaced_by_a_new_one(
    airbyte: ScriptedServer, api: AirbyteCalls
) -> None:
    second = (200, {"access_token": "t2", "expires_in": 180})
    airbyte.script = [
        TOKEN,
        (401, {"title": "invalid-api-key"}),
        second,
        (200, {"workspaceId": "w"}),
    ]
    assert api.workspace() == {"workspaceId": "w"}
    assert airbyte.calls[-1] == ("GET", "/v1/workspaces/w", "t2")


def test_wrong_credentials_name_the_variables(airbyte: ScriptedServer, api: AirbyteCalls) -> None:
    airbyte.script = [(401, {"detail": "The API key in the Authorization header is invalid."})] * 2
    with pytest.raises(
        AirbyteError,
        match=r"POST http.*/token: HTTP 401: The API key .* invalid\.; check AIRBYTE_CLIENT_ID",
    ) as error:
        api.workspace()
    assert error.value.status == 401


def test_a_temporary_failure_is_retried(
    airbyte: ScriptedServer, api: AirbyteCalls, waits: list[float]
) -> None:
    airbyte.script = [TOKEN, (503, b""), (502, b"<html>"), (200, {"jobId": 1, "status": "running"})]
    assert api.job(1)["status"] == "running"
    assert len(waits) == 2


def test_starting_a_sync_is_never_retried_once_it_was_sent(
    airbyte: ScriptedServer, api: AirbyteCalls, waits: list[float]
) -> None:
    airbyte.script = [TOKEN, (500, {"detail": "An unexpected problem has occurred."})]
    with pytest.raises(AirbyteUnavailableError, match="HTTP 500: An unexpected problem"):
        api.start_sync("c")
    assert waits == []


def test_a_request_that_was_never_sent_is_retried(waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    api = client_of(port, waits)
    with pytest.raises(AirbyteUnavailableError, match=r"no answer.*check AIRBYTE_API_URL"):
        api.start_sync("c")
    assert waits
    api.close()


def test_a_refusal_is_reported_in_airbytes_words_about_this_request(
    airbyte: ScriptedServer, api: AirbyteCalls
) -> None:
    problem = {
        "status": 409,
        "detail": "Please try again later.",
        "data": {"message": "A sync is already running for: c"},
    }
    airbyte.script = [TOKEN, (409, problem)]
    with pytest.raises(
        AirbyteError, match=r"POST .*/v1/jobs: HTTP 409: A sync is already running for: c"
    ) as error:
        api.start_sync("c")
    assert error.value.status == 409


def test_a_web_page_instead_of_the_api_names_the_setting(
    airbyte: ScriptedServer, api: AirbyteCalls
) -> None:
    airbyte.script = [TOKEN, (200, b"<html>a web page</html>")]
    with pytest.raises(
        AirbyteError, match="not JSON: '<html>a web page</html>'; check AIRBYTE_API_URL"
    ):
        api.workspace()


def test_every_page_is_read(airbyte: ScriptedServer, api: AirbyteCalls) -> None:
    pages = [
        [{"name": f"c{number}", "connectionId": str(number)} for number in range(100)],
        [{"name": "last", "connectionId": "100"}],
    ]
    airbyte.script = [TOKEN, *((200, {"data": page, "next": "more"}) for page in pages)]
    assert api.connection_id("last") == "100"
    assert airbyte.calls[-1][1] == "/v1/connections?workspaceIds=w&limit=100&offset=100"


def test_a_missing_connection_names_the_existing_ones_and_the_cure(
    airbyte: ScriptedServer, api: AirbyteCalls
) -> None:
    airbyte.script = [TOKEN, (200, {"data": [{"name": "other", "connectionId": "1"}]})]
    with pytest.raises(
        AirbyteError,
        match=r"no connection 'polygon_daily' \(its connections: other\).*airbyte apply",
    ):
        api.connection_id("polygon_daily")


def attempt(committed: int, *messages: str) -> dict[str, Any]:
    """An attempt as the configuration API describes it."""
    failures = [{"failureOrigin": "source", "externalMessage": message} for message in messages]
    stats = {
        "streamName": "tickers",
        "stats": {"recordsEmitted": committed + 1, "recordsCommitted": committed},
    }
    return {"attempt": {"streamStats": [stats], "failureSummary": {"failures": failures}}}


def test_an_outcome_has_the_last_reason_and_the_rows_of_all_attempts(
    airbyte: ScriptedServer, api: AirbyteCalls
) -> None:
    attempts = [attempt(10, "too slow"), attempt(5, "the key is wrong", "the key is wrong")]
    airbyte.script = [TOKEN, (200, {"job": {"id": 7, "status": "failed"}, "attempts": attempts})]
    outcome = api.outcome(7)
    assert outcome.reason == "the key is wrong (source)"
    assert outcome.streams == {"tickers": StreamCounts(emitted=17, committed=15)}
    assert (outcome.rows, outcome.running, outcome.status) == (15, False, "failed")


def test_a_summary_of_streams_that_have_their_own_reason_is_left_out(
    airbyte: ScriptedServer, api: AirbyteCalls
) -> None:
    failures = [
        {
            "failureOrigin": "source",
            "externalMessage": "the key is wrong",
            "streamDescriptor": {"name": "tickers"},
        },
        {
            "failureOrigin": "source",
            "externalMessage": "the following streams did not sync: tickers",
        },
        {"failureOrigin": "destination", "internalMessage": "the table is locked"},
    ]
    attempts = [{"attempt": {"failureSummary": {"failures": failures}}}]
    airbyte.script = [TOKEN, (200, {"job": {"id": 7, "status": "failed"}, "attempts": attempts})]
    assert api.outcome(7).reason == "the key is wrong (source); the table is locked (destination)"


def test_an_outcome_without_attempts_can_be_read(
    airbyte: ScriptedServer, api: AirbyteCalls
) -> None:
    airbyte.script = [TOKEN, (200, {"job": {"id": 7, "status": "pending"}, "attempts": []})]
    outcome = api.outcome(7)
    assert (outcome.running, outcome.reason, outcome.rows) == (True, "", 0)
