"""No secret in an error, a log or a report, not even after a server has quoted it.

Programs that run against the embedded stack are in processes/test_producer.py and test_sink.py; the
definitions' snapshot is in graph/test_graph.py.
"""

import gzip
import http.server
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from types import MappingProxyType
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from polygon_assets.cli import main
from polygon_assets.clients import s3, snowflake
from polygon_assets.clients.polygon import PolygonRest
from polygon_assets.defs.graph.alert_sensor import post_alert
from polygon_assets.defs.graph.resources import Airbyte
from polygon_assets.inspection import tables
from polygon_assets.settings import Settings, SettingsError, load_settings
from polygon_assets.streaming.program import ConcealingFormatter
from polygon_assets_tests.airbyte_calls import AirbyteCalls
from polygon_assets_tests.http_server import running
from polygon_assets_tests.planted_secrets import PLANTED, leaks


class Quoting(http.server.ThreadingHTTPServer):
    """Refuses every request with 401 and, as some servers do, quotes it: key and body."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.quoted: list[str] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Quoting

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        token = self.headers.get("Authorization", "").split(" ")[-1]
        words = f"unknown credentials: {token} {body.decode(errors='replace')}"
        self.server.quoted.append(words)
        # The fields in which Polygon, Airbyte and Snowflake explain a refusal.
        problem = {"error": words, "message": words, "code": "390100", "success": False, "data": {}}
        answer = json.dumps(problem).encode()
        # Snowflake refuses a login with status 200.
        self.send_response(200 if "login-request" in self.path else 401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Log nothing: a test's output is its failure."""


@pytest.fixture(scope="module")
def server() -> Iterator[Quoting]:
    with running(Quoting()) as quoting:
        yield quoting


@pytest.fixture
def environment(server: Quoting) -> dict[str, str]:
    """Every system at the quoting server, every secret planted; Snowflake gets its password."""
    address, port = f"http://127.0.0.1:{server.server_port}", str(server.server_port)
    return PLANTED | {
        "SNOWFLAKE_PRIVATE_KEY": "",
        "POLYGON_REST_URL": address,
        "POLYGON_WEBSOCKET_URL": f"ws://127.0.0.1:{port}/stocks",
        "POLYGON_REQUESTS_PER_MINUTE": "0",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": "user",
        "CLICKHOUSE_HOST": "127.0.0.1",
        "CLICKHOUSE_PORT": port,
        "CLICKHOUSE_SECURE": "false",
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_ACCESS_KEY_ID": "id",
        "SNOWFLAKE_ACCOUNT": "account",
        "SNOWFLAKE_USER": "user",
        "SNOWFLAKE_HOST": "127.0.0.1",
        "SNOWFLAKE_PORT": port,
        "SNOWFLAKE_PROTOCOL": "http",
        "AIRBYTE_API_URL": f"{address}/v1",
        "AIRBYTE_CONFIGURATION_API_URL": f"{address}/api/v1",
        "AIRBYTE_WORKSPACE_ID": "workspace",
        "AIRBYTE_CLIENT_ID": "id",
        "ALERT_WEBHOOK_URL": f"{address}/planted-webhook-5f1e",
    }


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.model_validate({name.lower(): value for name, value in environment.items()})


def airbyte(settings: Settings) -> None:
    with closing(AirbyteCalls(settings, patience_seconds=0)) as api:
        api.workspace()


CLIENTS: Mapping[str, Callable[[Settings], object]] = MappingProxyType(
    {
        "polygon": lambda settings: PolygonRest(settings, patience_seconds=0).get_market_status(),
        "clickhouse": tables.tables,
        "s3": lambda settings: s3.connect(settings).list_buckets(),
        "snowflake": lambda settings: snowflake.connect(settings, 2, login_timeout=2),
        "airbyte": airbyte,
        "dagster-airbyte": lambda settings: Airbyte().client(settings).get_connections(),
        "alert webhook": lambda settings: post_alert(settings, "text"),
    }
)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_refusal_shows_no_secret_even_if_the_server_quotes_it(
    server: Quoting,
    settings: Settings,
    name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    server.quoted.clear()
    with caplog.at_level(logging.INFO), pytest.raises(Exception, match=r"\S") as caught:
        CLIENTS[name](settings)
    assert server.quoted
    assert leaks(f"{caught.value} {caught.value!r}") == []
    assert leaks(caplog.text) == []


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("doctor", "unknown credentials: ***"),
        ("clickhouse plan", "unknown credentials: ***"),
        ("snowflake plan", "unknown credentials"),
        ("status --json", "unknown credentials: ***"),
        ("gaps --json", "unknown credentials: ***"),
    ],
)
def test_a_report_shows_no_secret(
    environment: dict[str, str], command: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    answer = CliRunner().invoke(main, command.split())
    assert answer.exit_code == 1
    assert shown in answer.output
    assert leaks(answer.output) == []


def test_settings_show_no_secret_and_conceal_it_in_any_text(settings: Settings) -> None:
    assert leaks(f"{settings} {settings!r} {settings.model_dump_json()}") == []
    assert settings.conceal("refused planted-polygon-api-key-5f1e") == "refused ***"


def test_a_word_is_no_secret() -> None:
    assert Settings(polygon_api_key=SecretStr("local")).conceal("local.s3") == "local.s3"


def test_a_refused_value_of_another_variable_shows_no_secret(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (environment | {"CLICKHOUSE_PORT": "http"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert leaks(f"{caught.value} {caught.value!r}") == []


def test_a_programs_log_shows_no_secret_not_even_in_a_traceback(settings: Settings) -> None:
    try:
        raise ValueError(f"refused {PLANTED['CLICKHOUSE_PASSWORD']}")
    except ValueError:
        record = logging.LogRecord(
            "sink", logging.ERROR, "", 0, PLANTED["POLYGON_API_KEY"], None, sys.exc_info()
        )
    line = ConcealingFormatter(settings).format(record)
    assert "sink ***" in line
    assert "ValueError: refused ***" in line
    assert leaks(line) == []
