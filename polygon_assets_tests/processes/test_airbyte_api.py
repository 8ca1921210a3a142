"""The embedded Airbyte's API, and the workspace that `provision` creates, without syncs.

Tests that run syncs belong to test_airbyte_sync.
"""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import requests
from pydantic import SecretStr

from polygon_assets.batch.airbyte.connector import CONNECTIONS, DAILY_CONNECTION, manifest
from polygon_assets.batch.airbyte.provision import (
    Provisioned,
    open_close_tickers,
    provision,
    set_open_close_tickers,
)
from polygon_assets.clients.airbyte.transport import AirbyteError
from polygon_assets.local.launcher.servers import embedded_servers
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings
from polygon_assets_tests.airbyte_calls import AirbyteCalls

START = dt.date(2026, 11, 2)
SECRETS_WRITTEN = (
    "~ source polygon: api_key: (secret) -> (secret), written",
    "~ destination snowflake: credentials.password: (secret) -> (secret), written",
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The Airbyte server alone, with an empty workspace."""
    [server] = [server for server in embedded_servers() if server.name == "airbyte"]
    stack = Stack(
        tmp_path_factory.mktemp("airbyte"),
        [replace(server, prepare=lambda _: None)],
        fixed_ports=False,
    )
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def airbyte_settings(alone: Stack) -> Settings:
    """Settings for `provision`; no server listens at their addresses."""
    return alone.settings().model_copy(
        update={
            "polygon_api_key": SecretStr("polygon-secret"),
            "polygon_rest_url": "http://127.0.0.1:9",
            "snowflake_host": "127.0.0.1",
            "snowflake_port": 9,
            "snowflake_protocol": "http",
            "snowflake_user": "loader",
            "snowflake_password": SecretStr("snowflake-secret"),
        }
    )


@pytest.fixture(scope="module")
def provisioned(airbyte_settings: Settings) -> Provisioned:
    result = provision(airbyte_settings, START)
    assert [change.split(":")[0] for change in result.changes] == [
        "+ create connector polygon",
        "+ create source polygon",
        "+ create destination snowflake",
        "+ create connection polygon_reference",
        "+ create connection polygon_daily",
    ]
    return result


@pytest.fixture(scope="module")
def api(airbyte_settings: Settings) -> Iterator[AirbyteCalls]:
    client = AirbyteCalls(airbyte_settings)
    yield client
    client.close()


class Raw:
    """Requests to the API without our client."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.airbyte_api_url
        self.headers: dict[str, str] = {}

    def log_in(self, secret: str) -> requests.Response:
        answer = requests.post(
            f"{self._address}/applications/token",
            json={"client_id": "local", "client_secret": secret},
            timeout=10,
        )
        if answer.ok:
            self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return answer

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(
            method, self._address + path, json=body, headers=self.headers, timeout=60
        )


@pytest.fixture
def raw(airbyte_settings: Settings) -> Raw:
    client = Raw(airbyte_settings)
    assert client.log_in("local").json()["token_type"] == "Bearer"
    return client


def test_a_second_provision_only_writes_the_secrets_again(
    airbyte_settings: Settings, provisioned: Provisioned, api: AirbyteCalls
) -> None:
    api.put_states(
        provisioned.connection_ids[DAILY_CONNECTION], {"grouped_daily": {"date": "2026-11-20"}}
    )
    again = provision(airbyte_settings, dt.date(2030, 1, 1))
    assert again == replace(provisioned, changes=SECRETS_WRITTEN)
    assert api.source(again.source_id)["configuration"]["start_date"] == str(START)
    assert api.states(again.connection_ids[DAILY_CONNECTION])["grouped_daily"] == {
        "date": "2026-11-20"
    }
    configured = {
        connection["name"]: [stream["name"] for stream in connection["configurations"]["streams"]]
        for connection in api.connections()
    }
    assert configured == {name: list(members) for name, members in CONNECTIONS.items()}


def test_changed_settings_are_updated_and_reported(
    airbyte_settings: Settings, provisioned: Provisioned, api: AirbyteCalls
) -> None:
    other = airbyte_settings.model_copy(
        update={"polygon_requests_per_minute": 7, "snowflake_port": 10}
    )
    source, destination = provision(other, START).changes
    assert "~ source polygon: requests_per_minute: 5 -> 7\n" in source
    assert "~ destination snowflake: host: http://127.0.0.1:9 -> http://127.0.0.1:10 (" in (
        destination
    )
    assert api.source(provisioned.source_id)["configuration"]["requests_per_minute"] == 7
    assert "requests_per_minute: 7 -> 5" in provision(airbyte_settings, START).changes[0]


def test_a_changed_manifest_becomes_the_next_version(
    airbyte_settings: Settings, provisioned: Provisioned, api: AirbyteCalls
) -> None:
    older = dict(manifest()) | {
        "streams": [stream for stream in manifest()["streams"] if stream["name"] != "stock_split"]
    }
    api.update_definition(provisioned.definition_id, older)
    result = provision(airbyte_settings, START)
    assert "~ connector polygon: manifest.streams.stock_split." in result.changes[0]
    assert result.changes[1:] == SECRETS_WRITTEN


def test_open_close_tickers_are_replaced_and_a_new_ticker_begins_at_the_first_day(
    provisioned: Provisioned, api: AirbyteCalls
) -> None:
    daily = provisioned.connection_ids[DAILY_CONNECTION]
    set_open_close_tickers(api, ["BRK.B"])
    known = {"partition": {"ticker": "BRK.B"}, "cursor": {"date": "2026-11-20"}}
    api.put_states(daily, {"daily_open_close": {"states": [known]}})
    assert set_open_close_tickers(api, ["BRK.B", "A", "A"]) == ["BRK.B"]
    assert open_close_tickers(api) == ["A", "BRK.B"]
    new = {"partition": {"ticker": "A"}, "cursor": {"date": str(START)}}
    assert api.states(daily)["daily_open_close"]["states"] == [known, new]
    assert set_open_close_tickers(api, ["A", "BRK.B"]) == ["A", "BRK.B"]


def test_missing_settings_are_reported_before_anything_is_created(
    airbyte_settings: Settings,
) -> None:
    for_cloud = airbyte_settings.model_copy(update={"snowflake_host": "", "snowflake_user": ""})
    with pytest.raises(
        AirbyteError,
        match="not set: SNOWFLAKE_USER, SNOWFLAKE_ACCOUNT, SNOWFLAKE_ROLE, SNOWFLAKE_WAREHOUSE",
    ):
        provision(for_cloud, START)


def test_secrets_are_never_shown_and_a_masked_secret_keeps_its_value(
    alone: Stack, provisioned: Provisioned, raw: Raw
) -> None:
    for path in (
        f"/sources/{provisioned.source_id}",
        f"/destinations/{provisioned.destination_id}",
    ):
        shown = raw.ask("GET", path).json()
        assert "secret" not in str(shown)
        assert "**********" in str(shown["configuration"])
        assert (
            raw.ask(
                "PUT", path, {"name": shown["name"], "configuration": shown["configuration"]}
            ).json()
            == shown
        )
    stored = "".join(
        file.read_text()
        for kind in ("sources", "destinations")
        for file in (alone.data_dir / "airbyte" / kind).iterdir()
    )
    assert "polygon-secret" in stored
    assert "snowflake-secret" in stored


def test_without_a_valid_token_only_health_answers(airbyte_settings: Settings, raw: Raw) -> None:
    stranger = Raw(airbyte_settings)
    assert stranger.log_in("wrong").status_code == 401
    assert stranger.ask("GET", "/health").status_code == 200
    for token in (
        "",
        "Bearer nonsense",
        "Bearer 9999999999.0000",
        f"Basic {raw.headers['Authorization'].split()[1]}",
    ):
        stranger.headers = {"Authorization": token}
        answer = stranger.ask("GET", "/sources")
        assert answer.status_code == 401
        assert answer.json()["title"] == "invalid-api-key"


class Refused(NamedTuple):
    """A request with {names} for ids, and the words of its refusal."""

    method: str
    path: str
    body: Any
    status: int
    words: str


@pytest.mark.parametrize(
    "refused",
    [
        Refused("GET", "/sources/nobody", None, 404, "there is no source nobody in this workspace"),
        Refused("GET", "/jobs/999", None, 404, "there is no job 999 in this workspace"),
        Refused("GET", "/workspaces/other", None, 404, "there is no workspace other"),
        Refused(
            "GET", "/tables", None, 404, "GET /api/public/v1/tables is not an endpoint of this"
        ),
        Refused(
            "DELETE", "/jobs", None, 404, "DELETE /api/public/v1/jobs is not an endpoint of this"
        ),
        Refused("GET", "/sources?limit=many", None, 400, "limit='many' is not a number"),
        Refused("POST", "/jobs", {"jobType": "sync"}, 422, "missing required field `connectionId`"),
        Refused(
            "POST",
            "/jobs",
            {"jobType": "sync", "connectionId": "x"},
            404,
            "there is no connection x",
        ),
        Refused(
            "POST",
            "/jobs",
            {"jobType": "reset", "connectionId": "x"},
            422,
            "jobType 'reset' is not supported by this server",
        ),
        Refused(
            "POST",
            "/workspaces/{workspace}/definitions/declarative_sources",
            {"name": "n", "manifest": {}},
            422,
            "spec.connection_specification",
        ),
        Refused(
            "POST",
            "/destinations",
            {"name": "d", "workspaceId": "{workspace}", "configuration": {"destinationType": "s3"}},
            422,
            "'snowflake'",
        ),
        Refused(
            "PATCH",
            "/sources/{source}",
            {"configuration": {"requests_per_minute": -1}},
            422,
            "requests_per_minute does not fit minimum: 0",
        ),
        Refused(
            "PUT",
            "/sources/{source}",
            {"name": "polygon", "configuration": {"api_key": "k"}},
            422,
            "'start_date' is a required property",
        ),
        Refused(
            "PATCH",
            "/connections/{connection}",
            {"schedule": {"scheduleType": "cron"}},
            422,
            "scheduleType must be 'manual'",
        ),
        Refused(
            "PATCH",
            "/connections/{connection}",
            {
                "configurations": {
                    "streams": [{"name": "exchanges", "syncMode": "incremental_deduped_history"}]
                }
            },
            400,
            "Cannot set sync mode to incremental_deduped_history for stream exchanges. "
            "Valid sync modes are: ['full_refresh_overwrite']",
        ),
        Refused(
            "PATCH",
            "/connections/{connection}",
            {"configurations": {"streams": [{"name": "nobody"}]}},
            400,
            "Invalid stream found: nobody.",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_airbytes_status_and_shape(
    airbyte_settings: Settings, provisioned: Provisioned, raw: Raw, refused: Refused
) -> None:
    names = {"workspace": airbyte_settings.airbyte_workspace_id, "source": provisioned.source_id}
    text = json.dumps([refused.path, refused.body])
    for name, value in (
        names | {"connection": provisioned.connection_ids[DAILY_CONNECTION]}
    ).items():
        text = text.replace("{" + name + "}", value)
    answer = raw.ask(refused.method, *json.loads(text))
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (refused.status, refused.status)
    assert refused.words in problem.get("data", {}).get("message", problem["detail"])
    assert {"type", "title", "detail"} <= problem.keys()


def test_a_failed_discovery_quotes_the_connector_and_a_deleted_definition_deletes_its_sources(
    airbyte_settings: Settings, raw: Raw, api: AirbyteCalls
) -> None:
    broken = dict(manifest()) | {"streams": [{"type": "DeclarativeStream", "name": "nothing"}]}
    definition = api.create_definition("broken", broken)
    source = api.create_source(
        "broken", definition["id"], {"api_key": "k", "start_date": str(START)}
    )
    with pytest.raises(
        AirbyteError,
        match=r"HTTP 422: source broken: its streams cannot be discovered: .*json schema",
    ):
        api.stream_properties(source["sourceId"])
    workspace = f"/workspaces/{airbyte_settings.airbyte_workspace_id}"
    path = f"{workspace}/definitions/declarative_sources/{definition['id']}"
    assert raw.ask("DELETE", path).json() == definition
    assert "broken" not in {source["name"] for source in api.sources()}


def test_a_page_links_to_its_neighbours(provisioned: Provisioned, raw: Raw) -> None:
    first = raw.ask("GET", "/connections?limit=1").json()
    second = requests.get(first["next"], headers=raw.headers, timeout=10).json()
    assert {page["data"][0]["connectionId"] for page in (first, second)} == set(
        provisioned.connection_ids.values()
    )
    assert (
        requests.get(second["previous"], headers=raw.headers, timeout=10).json()["data"]
        == first["data"]
    )
    assert requests.get(second["next"], headers=raw.headers, timeout=10).json()["next"] == ""


def test_a_killed_server_restarts_with_its_workspace_and_accepts_its_tokens(
    alone: Stack, provisioned: Provisioned, raw: Raw
) -> None:
    before = [raw.ask("GET", path).json() for path in ("/sources", "/destinations", "/connections")]
    alone.kill("airbyte")
    alone.restart("airbyte")
    assert [
        raw.ask("GET", path).json() for path in ("/sources", "/destinations", "/connections")
    ] == before
    assert provisioned.source_id in str(before)
