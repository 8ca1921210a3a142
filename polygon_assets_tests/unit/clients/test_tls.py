"""Every client verifies the server's certificate and name, against CA_BUNDLE if that is set."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import SecretStr

from polygon_assets.clients import clickhouse, kafka, market_clock, s3, snowflake
from polygon_assets.clients.kafka_connect import KafkaConnect
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.clients.polygon_stream import open_connection
from polygon_assets.defs.graph.alert_sensor import post_alert
from polygon_assets.defs.graph.resources import Airbyte
from polygon_assets.settings import Settings
from polygon_assets_tests.airbyte_calls import AirbyteCalls
from polygon_assets_tests.certificates import Authority, make_authority, serving

# Inside snowflake-connector 4.8.0, where it reads the certificate of another server.
pytestmark = pytest.mark.filterwarnings("ignore:X509.get_subject is deprecated:DeprecationWarning")
Attempt = Callable[[Settings], object]


def polygon_rest(settings: Settings) -> None:
    PolygonRest(settings, patience_seconds=0).get_market_status()


def polygon_websocket(settings: Settings) -> None:
    async def connect() -> None:
        async with open_connection(settings):
            pass

    asyncio.run(connect())


def kafka_producer(settings: Settings) -> None:
    errors: list[Any] = []
    producer = kafka.connect_producer(settings, error_cb=errors.append)
    deadline = time.monotonic() + 5
    while not errors and time.monotonic() < deadline:
        producer.poll(0.05)
    raise ConnectionError(errors)


def kafka_inspector(settings: Settings) -> None:
    kafka.connect_inspector(settings, bootstrap_timeout_ms=500).close()


def s3_client(settings: Settings) -> None:
    with closing(s3.connect(settings)) as client:
        client.list_objects_v2(Bucket="bucket")


def snowflake_session(settings: Settings) -> None:
    snowflake.connect(settings, 2, login_timeout=2).close()


def airbyte(settings: Settings) -> None:
    with closing(AirbyteCalls(settings, patience_seconds=0)) as api:
        api.workspace()


def dagster_airbyte(settings: Settings) -> None:
    client = Airbyte().client(settings)
    object.__setattr__(client, "request_max_retries", 0)
    client.get_connection_details("id")


def connectors(settings: Settings) -> None:
    KafkaConnect(settings, patience_seconds=0).put_config("sink", {})


CLIENTS: Mapping[str, Attempt] = MappingProxyType(
    {
        "polygon rest": polygon_rest,
        "polygon websocket": polygon_websocket,
        "kafka, librdkafka": kafka_producer,
        "kafka, kafka-python": kafka_inspector,
        "clickhouse": lambda settings: clickhouse.connect(settings).close(),
        "s3": s3_client,
        "snowflake": snowflake_session,
        "airbyte": airbyte,
        "dagster-airbyte": dagster_airbyte,
        "alert webhook": lambda settings: post_alert(settings, "text"),
        "clock of a replay": market_clock.connect,
        "kafka connect": connectors,
    }
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def no_other_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a client exports for `requests`; an empty value would be one of its own."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "to be restored")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")


def settings_for(port: int, bundle: Path | None) -> Settings:
    address = f"https://127.0.0.1:{port}"
    return Settings(
        ca_bundle=str(bundle or ""),
        polygon_api_key=SecretStr("key"),
        polygon_rest_url=address,
        polygon_websocket_url=f"wss://127.0.0.1:{port}/stocks",
        polygon_requests_per_minute=0,
        market_replay="2026-11-20T15:50",
        kafka_bootstrap_servers=f"127.0.0.1:{port}",
        kafka_security_protocol="SSL",
        clickhouse_host="127.0.0.1",
        clickhouse_port=port,
        aws_endpoint_url_s3=address,
        aws_access_key_id="id",
        aws_secret_access_key=SecretStr("secret"),
        snowflake_account="account",
        snowflake_user="user",
        snowflake_password=SecretStr("password"),
        snowflake_host="127.0.0.1",
        snowflake_port=port,
        airbyte_api_url=f"{address}/v1",
        airbyte_configuration_api_url=f"{address}/api/v1",
        airbyte_workspace_id="workspace",
        airbyte_client_id="id",
        alert_webhook_url=SecretStr(f"{address}/hook"),
        kafka_connect_url=address,
    )


@pytest.mark.parametrize("name", CLIENTS)
def test_a_server_of_the_bundles_authority_is_trusted(authority: Authority, name: str) -> None:
    """The server answers 404, so each client fails; the request itself proves the trust."""
    with serving(authority.server) as server:
        with pytest.raises(Exception, match=r"\S") as caught:
            CLIENTS[name](settings_for(server.port, authority.bundle))
        assert server.received, caught.value


@pytest.mark.parametrize("name", CLIENTS)
def test_without_the_bundle_the_same_server_is_refused(
    authority: Authority, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(authority.server) as server:
        assert "certificate verify failed" in refusal(name, settings_for(server.port, None), caplog)
        assert server.received == []


@pytest.mark.parametrize("name", CLIENTS)
def test_a_trusted_certificate_of_another_server_is_refused(
    authority: Authority, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(authority.other_server) as server:
        reason = refusal(name, settings_for(server.port, authority.bundle), caplog)
        assert re.search("certificate verify failed|doesn't match", reason), reason
        assert server.received == []


def refusal(name: str, settings: Settings, caplog: pytest.LogCaptureFixture) -> str:
    """What the client raises and logs; kafka-python and dagster-airbyte only log the reason."""
    with pytest.raises(Exception, match=r"\S") as caught:
        CLIENTS[name](settings)
    return f"{caught.value} {caplog.text}"


def test_the_bundle_replaces_that_of_the_environment(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`requests` prefers REQUESTS_CA_BUNDLE to the option of a session."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(make_authority(tmp_path).bundle))
    for name in ("airbyte", "dagster-airbyte", "snowflake", "s3"):
        with serving(authority.server) as server:
            with pytest.raises(Exception, match=r"\S"):
                CLIENTS[name](settings_for(server.port, authority.bundle))
            assert server.received, name
