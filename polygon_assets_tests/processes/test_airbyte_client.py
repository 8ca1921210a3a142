"""Airbyte's own client (PyPI: airbyte-api) against the embedded API: its models must accept every answer."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_api import AirbyteAPI
from airbyte_api.models import (
    DestinationSnowflake,
    JobStatusEnum,
    JobTypeEnum,
    SchemeClientCredentials,
    Security,
)

from polygon_assets.batch.airbyte.connector import CONNECTIONS
from polygon_assets.batch.airbyte.provision import Provisioned, provision
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.harness import eventually
from polygon_assets_tests.processes.test_airbyte_api import airbyte_settings, alone

__all__ = ["airbyte_settings", "alone"]
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def made(airbyte_settings: Settings) -> Provisioned:
    return provision(airbyte_settings, dt.date(2026, 11, 2))


def client_of(settings: Settings, secret: str, token_url: str) -> AirbyteAPI:
    credentials = SchemeClientCredentials(
        client_id=settings.airbyte_client_id, client_secret=secret, token_url=token_url
    )
    return AirbyteAPI(
        server_url=settings.airbyte_api_url, security=Security(client_credentials=credentials)
    )


@pytest.fixture(scope="module", params=["as it is", "with the API's own path"])
def client(request: pytest.FixtureRequest, airbyte_settings: Settings) -> Iterator[AirbyteAPI]:
    """It takes its token by client credentials: from the root of the server, unless it is given the documented address."""
    address = (
        "/applications/token"
        if request.param == "as it is"
        else f"{airbyte_settings.airbyte_api_url}/applications/token"
    )
    with client_of(
        airbyte_settings, airbyte_settings.airbyte_client_secret.get_secret_value(), address
    ) as opened:
        yield opened


def test_wrong_credentials_get_no_token(airbyte_settings: Settings, made: Provisioned) -> None:
    with (
        client_of(airbyte_settings, "wrong", "/applications/token") as opened,
        pytest.raises(Exception, match="401"),
    ):
        opened.sources.get_source(request={"source_id": made.source_id})


def test_the_workspace_is_listed(client: AirbyteAPI, airbyte_settings: Settings) -> None:
    listed = client.workspaces.list_workspaces(request={}).workspaces_response
    assert listed is not None
    assert [one.workspace_id for one in listed.data] == [airbyte_settings.airbyte_workspace_id]
    one = client.workspaces.get_workspace(
        request={"workspace_id": airbyte_settings.airbyte_workspace_id}
    ).workspace_response
    assert one == listed.data[0]


def test_the_source_is_listed(
    client: AirbyteAPI, airbyte_settings: Settings, made: Provisioned
) -> None:
    listed = client.sources.list_sources(
        request={"workspace_ids": [airbyte_settings.airbyte_workspace_id]}
    ).sources_response
    assert listed is not None
    assert [one.source_id for one in listed.data] == [made.source_id]
    one = client.sources.get_source(request={"source_id": made.source_id}).source_response
    assert one is not None
    assert one.definition_id == made.definition_id


def test_the_destination_is_snowflake(client: AirbyteAPI, made: Provisioned) -> None:
    listed = client.destinations.list_destinations(request={}).destinations_response
    assert listed is not None
    assert [one.destination_id for one in listed.data] == [made.destination_id]
    one = client.destinations.get_destination(
        request={"destination_id": made.destination_id}
    ).destination_response
    assert one is not None
    assert isinstance(one.configuration, DestinationSnowflake)
    assert (one.configuration.database, one.configuration.username) == ("POLYGON", "loader")


def test_the_connections_are_listed(client: AirbyteAPI, made: Provisioned) -> None:
    listed = client.connections.list_connections(request={}).connections_response
    assert listed is not None
    assert {one.name: one.connection_id for one in listed.data} == made.connection_ids
    for name, connection_id in made.connection_ids.items():
        one = client.connections.get_connection(
            request={"connection_id": connection_id}
        ).connection_response
        assert one is not None
        assert [stream.name for stream in one.configurations.streams or ()] == list(
            CONNECTIONS[name]
        )


def test_another_workspace_has_nothing(client: AirbyteAPI, made: Provisioned) -> None:
    assert made.connection_ids
    elsewhere: Any = {"workspace_ids": [NOBODY]}
    sources = client.sources.list_sources(request=elsewhere).sources_response
    destinations = client.destinations.list_destinations(request=elsewhere).destinations_response
    connections = client.connections.list_connections(request=elsewhere).connections_response
    jobs = client.jobs.list_jobs(request=elsewhere).jobs_response
    for listed in (sources, destinations, connections, jobs):
        assert listed is not None
        assert listed.data == []


def test_a_sync_is_started_and_followed(client: AirbyteAPI, made: Provisioned) -> None:
    connection_id = made.connection_ids["polygon_reference"]
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=2)
    started = client.jobs.create_job(
        request={"connection_id": connection_id, "job_type": JobTypeEnum.SYNC}
    ).job_response
    assert started is not None
    assert started.status is JobStatusEnum.RUNNING
    client.jobs.cancel_job(request={"job_id": started.job_id})

    def ended() -> bool:
        job = client.jobs.get_job(request={"job_id": started.job_id}).job_response
        return job is not None and job.status is not JobStatusEnum.RUNNING

    eventually(ended, "the cancelled job has ended")

    def listed(**filters: Any) -> set[int]:
        asked: Any = {"connection_id": connection_id, **filters}
        answer = client.jobs.list_jobs(request=asked).jobs_response
        assert answer is not None
        return {job.job_id for job in answer.data}

    assert started.job_id in listed()
    assert started.job_id in listed(
        created_at_start=before, updated_at_start=before, job_type=JobTypeEnum.SYNC
    )
    assert started.job_id not in listed(created_at_end=before)
    assert started.job_id not in listed(updated_at_end=before)
    assert started.job_id not in listed(status=JobStatusEnum.SUCCEEDED)
    assert listed(job_type=JobTypeEnum.RESET) == set()


def test_streams_and_definitions_are_described(
    client: AirbyteAPI, airbyte_settings: Settings, made: Provisioned
) -> None:
    streams = client.streams.get_stream_properties(
        request={"source_id": made.source_id}
    ).stream_properties_response
    assert {one.stream_name for one in streams or ()} == {
        name for names in CONNECTIONS.values() for name in names
    }
    asked: Any = {"workspace_id": airbyte_settings.airbyte_workspace_id}
    listed = client.declarative_source_definitions.list_declarative_source_definitions(
        request=asked
    )
    definitions = listed.declarative_source_definitions_response
    assert definitions is not None
    assert [one.id for one in definitions.data] == [made.definition_id]
