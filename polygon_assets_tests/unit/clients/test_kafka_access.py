"""Why Kafka cannot be used, without a broker.

What a real one refuses belongs to processes/test_kafka_login.py.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from polygon_assets.clients.kafka_access import (
    KafkaAccessError,
    KafkaRefusedError,
    check,
    explain,
)
from polygon_assets.settings import Settings
from polygon_assets_tests.certificates import Authority, TlsServer, make_authority, serving

PASSWORD = "planted-password-5f1e"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority: Authority) -> Iterator[TlsServer]:
    """A TLS server that is no broker."""
    with serving(authority.server) as running:
        yield running


def settings_of(port: int, bundle: Path | None, protocol: str = "SSL") -> Settings:
    return Settings.model_validate(
        {
            "kafka_bootstrap_servers": f"127.0.0.1:{port}",
            "kafka_security_protocol": protocol,
            "kafka_sasl_username": "streams",
            "kafka_sasl_password": SecretStr(PASSWORD),
            "ca_bundle": str(bundle or ""),
        }
    )


def test_a_trusted_server_is_accepted(server: TlsServer, authority: Authority) -> None:
    check(settings_of(server.port, authority.bundle), 5)


def test_an_unknown_authority_is_named_with_the_cure(server: TlsServer) -> None:
    with pytest.raises(KafkaRefusedError) as caught:
        check(settings_of(server.port, None), 5)
    message = str(caught.value)
    assert f"Kafka at 127.0.0.1:{server.port}: certificate verify failed: " in message
    assert "CA_BUNDLE='' must name a PEM file with the broker's authority" in message


def test_a_certificate_of_another_server_is_named_with_the_cure(authority: Authority) -> None:
    with serving(authority.other_server) as other:
        settings = settings_of(other.port, authority.bundle)
        with pytest.raises(KafkaRefusedError) as caught:
            check(settings, 5)
    assert "certificate is not valid for '127.0.0.1'" in str(caught.value)
    assert "check KAFKA_BOOTSTRAP_SERVERS" in str(caught.value)


def test_where_nothing_listens_the_error_comes_at_once_and_is_no_refusal() -> None:
    started = time.monotonic()
    with pytest.raises(KafkaAccessError, match=r"127\.0\.0\.1:1: ") as caught:
        check(settings_of(1, None), 5)
    assert not isinstance(caught.value, KafkaRefusedError)
    assert time.monotonic() - started < 1


def test_a_server_that_never_answers_the_login_is_no_refusal(
    server: TlsServer, authority: Authority
) -> None:
    started = time.monotonic()
    with pytest.raises(KafkaAccessError, match=r"no login within 1 s; are the brokers") as caught:
        check(settings_of(server.port, authority.bundle, "SASL_SSL"), 1)
    assert not isinstance(caught.value, KafkaRefusedError)
    assert "does KAFKA_SECURITY_PROTOCOL=SASL_SSL not fit" in str(caught.value)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("name", ["kafka_sasl_username", "kafka_sasl_password"])
def test_a_login_without_user_or_password_is_refused_before_any_connection(name: str) -> None:
    settings = Settings.model_validate(
        {
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_username": "streams",
            "kafka_sasl_password": SecretStr(PASSWORD),
            name: "",
        }
    )
    with pytest.raises(KafkaRefusedError, match=f"^not set: {name.upper()};") as caught:
        check(settings, 5)
    assert "KAFKA_SECURITY_PROTOCOL=SASL_SSL" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "write topic a_topic; an administrator must add"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "read group a_group; an administrator must add"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, "write the cluster; an administrator must add"),
    ],
)
def test_a_missing_right_names_user_place_and_cure(code: int, sentence: str) -> None:
    message = explain(settings_of(1, None), KafkaError(code), "WRITE", "a_topic", "a_group")
    assert message.startswith("Kafka at 127.0.0.1:1 does not let user 'streams' ")
    assert sentence in message


def test_a_refused_login_is_one_text_however_long_it_took_and_shows_no_password() -> None:
    texts = {
        explain(
            settings_of(1, None),
            KafkaError(
                KafkaError._AUTHENTICATION,
                f"sasl_ssl://127.0.0.1:1/bootstrap: SASL authentication error: {PASSWORD} is wrong "
                f"(after {milliseconds}ms in state AUTH_REQ)",
            ),
        )
        for milliseconds in (3, 400)
    }
    assert texts == {
        "Kafka at 127.0.0.1:1 refuses the login of user 'streams': SASL authentication error: "
        "*** is wrong; check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and "
        "KAFKA_SASL_MECHANISM=PLAIN"
    }


def test_a_refused_session_names_the_setting_and_the_range() -> None:
    message = explain(settings_of(1, None), KafkaError(KafkaError.INVALID_SESSION_TIMEOUT))
    assert message == (
        "Kafka at 127.0.0.1:1 refuses LEADER_SESSION_SECONDS=6; choose a value between its "
        "group.min.session.timeout.ms and group.max.session.timeout.ms"
    )
