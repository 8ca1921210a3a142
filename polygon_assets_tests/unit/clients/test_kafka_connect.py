"""Kafka Connect's REST API on a stub: what is sent, what an answer means, and what errors say.

The real runtime belongs to processes/test_connect_runtime.py.
"""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from polygon_assets.clients.kafka_connect import (
    ConnectError,
    ConnectorState,
    ConnectUnreachableError,
    KafkaConnect,
    TaskState,
)
from polygon_assets.settings import Settings, SettingsError, load_settings
from polygon_assets_tests.connect_stub import RUNNING, ConnectStub, connect_stub, failed

NAME = "polygon_stock_aggregates"
PASSWORD = "planted-connect-password-5f1e"


@pytest.fixture
def stub() -> Iterator[ConnectStub]:
    with connect_stub() as server:
        yield server


def client(stub: ConnectStub, **changes: object) -> KafkaConnect:
    return KafkaConnect(stub.settings.model_copy(update=changes), sleep=lambda _: None)


def test_a_connector_is_created_and_read_again(stub: ConnectStub) -> None:
    connect = client(stub)
    assert connect.config(NAME) is None
    assert connect.state(NAME) is None
    connect.put_config(NAME, {"topics": "one"})
    assert connect.config(NAME) == {"topics": "one", "name": NAME}
    worker = "10.0.0.7:8083"
    assert connect.state(NAME) == ConnectorState(
        NAME, "RUNNING", worker, "", (TaskState(0, "RUNNING", worker),)
    )


def test_the_cause_of_a_failed_task_is_the_first_line_and_its_causes_without_secrets(
    stub: ConnectStub,
) -> None:
    stub.states[NAME] = failed(PASSWORD)
    state = client(stub, clickhouse_password=SecretStr(PASSWORD)).state(NAME)
    assert state
    assert state.tasks[0].cause == (
        "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask; "
        "Caused by: java.lang.RuntimeException: Number of records: 2; "
        "Caused by: com.clickhouse.client.ClickHouseException: Code: 516, wrong password ***"
    )


def test_only_what_failed_is_restarted(stub: ConnectStub) -> None:
    stub.states[NAME] = failed()
    client(stub).restart_failed(NAME)
    assert stub.restarts == [f"{NAME}/restart?includeTasks=true&onlyFailed=true"]
    with pytest.raises(ConnectError, match="no such connector"):
        client(stub).restart_failed("unknown")


def test_a_change_waits_for_the_end_of_a_rebalance(stub: ConnectStub) -> None:
    stub.rebalances = 3
    client(stub).put_config(NAME, {"topics": "one"})
    assert stub.configs[NAME] == {"topics": "one"}


def test_a_rebalance_without_an_end_is_named(stub: ConnectStub) -> None:
    stub.rebalances = 9
    connect = KafkaConnect(stub.settings, patience_seconds=0)
    with pytest.raises(ConnectUnreachableError, match="HTTP 409: Cannot complete request"):
        connect.put_config(NAME, {})


def test_the_login_is_sent_and_a_wrong_one_is_named_without_the_password(
    stub: ConnectStub,
) -> None:
    connect = client(stub, kafka_connect_user="key", kafka_connect_password=SecretStr(PASSWORD))
    stub.states[NAME] = RUNNING
    connect.state(NAME)
    login = stub.logins[-1]
    assert login.startswith("Basic ")
    stub.refusal = (401, f"no user for {PASSWORD} or {login.removeprefix('Basic ')}")
    with pytest.raises(ConnectError) as caught:
        connect.state(NAME)
    assert "HTTP 401: no user for *** or ***; check KAFKA_CONNECT_USER" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, '{"error_code": 400, "message": "Invalid value x for topics"}', "Invalid value x"),
        (404, "<html>nothing here</html>", "HTTP 404: <html>"),
        (500, '{"error_code": 500, "message": "out of memory"}', "HTTP 500: out of memory"),
        (200, "<html>welcome</html>", "not an answer of Kafka Connect"),
        (200, '{"connector": {}}', "not an answer of Kafka Connect"),
        (200, "[]", "not an answer of Kafka Connect"),
    ],
)
def test_another_answer_is_an_error_that_names_the_request(
    stub: ConnectStub, status: int, body: str, expected: str
) -> None:
    stub.states[NAME] = RUNNING
    stub.refusal = (status, body)
    with pytest.raises(ConnectError) as caught:
        client(stub).state(NAME)
    assert f"GET http://127.0.0.1:{stub.server_port}/connectors/{NAME}/status" in str(caught.value)
    assert expected in str(caught.value)
    assert isinstance(caught.value, ConnectUnreachableError) == (status == 500)


def test_a_connect_that_is_away_is_named_with_the_cure() -> None:
    connect = KafkaConnect(Settings(kafka_connect_url="http://127.0.0.1:1"))
    with pytest.raises(ConnectUnreachableError, match="check KAFKA_CONNECT_URL and the worker"):
        connect.state(NAME)


def test_without_an_address_the_setting_is_named() -> None:
    with pytest.raises(ConnectError, match="not set: KAFKA_CONNECT_URL"):
        KafkaConnect(Settings())


def test_a_login_in_the_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_CONNECT_URL", "https://user:secret@connect:8083")
    with pytest.raises(SettingsError, match="KAFKA_CONNECT_URL="):
        load_settings()
