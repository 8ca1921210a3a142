"""Airbyte's own client (PyPI: airbyte-api) accepts every answer of the embedded API."""

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
def provisioned(airbyte_settings: Settings) -> Provisioned:
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
    """Airbyte's client; it requests its token at the server's root or at the documented address."""
    address = (
        "/applications/token"
        if request.param == "as it is"
        else f"{airbyte_settings.airbyte_api_url}/applications/token"
    )
    with client_of(
        airbyte_settings, airbyte_settings.airbyte_client_secret.get_secret_value(), address
    ) as opened:
        yield opened


def test_wrong_credentials_get_no_token(
    airbyte_settings: Settings, provisioned: Provisioned
) -> None:
    with (
        client_of(airbyte_settings, "wrong", "/applications/token") as opened,
        pytest.raises(Exception, match="401"),
    ):
        opened.sources.get_source(request={"source_id": provisioned.source_id})


def test_the_workspace_is_listed(client: AirbyteAPI, airbyte_settings: Settings) -> None:
    listed = client.workspaces.list_workspaces(request={}).workspaces_response
    assert listed is not None
    assert [workspace.workspace_id for workspace in listed.data] == [
        airbyte_settings.airbyte_workspace_id
    ]
    workspace = client.workspaces.get_workspace(
        request={"workspace_id": airbyte_settings.airbyte_workspace_id}
    ).workspace_response
    assert workspace == listed.data[0]


def test_the_source_is_listed(
    client: AirbyteAPI, airbyte_settings: Settings, provisioned: Provisioned
) -> None:
    listed = client.sources.list_sources(
        request={"workspace_ids": [airbyte_settings.airbyte_workspace_id]}
    ).sources_response
    assert listed is not None
    assert [source.source_id for source in listed.data] == [provisioned.source_id]
    source = client.sources.get_source(request={"source_id": provisioned.source_id}).source_response
    assert source is not None
    assert source.definition_id == provisioned.definition_id


def test_the_destination_is_snowflake(client: AirbyteAPI, provisioned: Provisioned) -> None:
    listed = client.destinations.list_destinations(request={}).destinations_response
    assert listed is not None
    assert [destination.destination_id for destination in listed.data] == [
        provisioned.destination_id
    ]
    destination = client.destinations.get_destination(
        request={"destination_id": provisioned.destination_id}
    ).destination_response
    assert destination is not None
    configuration = destination.configuration
    assert isinstance(configuration, DestinationSnowflake)
    assert (configuration.database, configuration.username) == ("POLYGON", "loader")


def test_the_connections_are_listed(client: AirbyteAPI, provisioned: Provisioned) -> None:
    listed = client.connections.list_connections(request={}).connections_response
    assert listed is not None
    assert {item.name: item.connection_id for item in listed.data} == provisioned.connection_ids
    for name, connection_id in provisioned.connection_ids.items():
        connection = client.connections.get_connection(
            request={"connection_id": connection_id}
        ).connection_response
        assert connection is not None
        assert [stream.name for stream in connection.configurations.streams or ()] == list(
            CONNECTIONS[name]
        )


def test_another_workspace_has_nothing(client: AirbyteAPI, provisioned: Provisioned) -> None:
    assert provisioned.connection_ids
    elsewhere: Any = {"workspace_ids": [NOBODY]}
    sources = client.sources.list_sources(request=elsewhere).sources_response
    destinations = client.destinations.list_destinations(request=elsewhere).destinations_response
    connections = client.connections.list_connections(request=elsewhere).connections_response
    jobs = client.jobs.list_jobs(request=elsewhere).jobs_response
    for listed in (sources, destinations, connections, jobs):
        assert listed is not None
        assert listed.data == []


def test_a_sync_is_started_cancelled_and_listed(
    client: AirbyteAPI, provisioned: Provisioned
) -> None:
    connection_id = provisioned.connection_ids["polygon_reference"]
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
        request: Any = {"connection_id": connection_id, **filters}
        answer = client.jobs.list_jobs(request=request).jobs_response
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
    client: AirbyteAPI, airbyte_settings: Settings, provisioned: Provisioned
) -> None:
    streams = client.streams.get_stream_properties(
        request={"source_id": provisioned.source_id}
    ).stream_properties_response
    assert {stream.stream_name for stream in streams or ()} == {
        name for names in CONNECTIONS.values() for name in names
    }
    request: Any = {"workspace_id": airbyte_settings.airbyte_workspace_id}
    listed = client.declarative_source_definitions.list_declarative_source_definitions(
        request=request
    )
    definitions = listed.declarative_source_definitions_response
    assert definitions is not None
    assert [definition.id for definition in definitions.data] == [provisioned.definition_id]
