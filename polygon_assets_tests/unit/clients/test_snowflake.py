"""How the settings become a session, and which error names which cure, without any server."""

from typing import Any

import pytest
import snowflake.connector
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from snowflake.connector.errors import DatabaseError, OperationalError

from polygon_assets.clients.snowflake import SnowflakeError, SnowflakeUnreachableError, connect
from polygon_assets.settings import Settings

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
DER = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def settings(**values: Any) -> Settings:
    return Settings.model_validate(
        {"snowflake_account": "ORG-ACCOUNT", "snowflake_user": "SERVICE", **values}
    )


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the connector's call."""
    arguments: dict[str, Any] = {}
    monkeypatch.setattr(snowflake.connector, "connect", lambda **given: arguments.update(given))
    return arguments


@pytest.mark.parametrize("pem", [PEM, PEM.replace("\n", "\\n")], ids=["as it is", "in one line"])
def test_a_private_key_is_used_instead_of_the_password(arguments: dict[str, Any], pem: str) -> None:
    connect(settings(snowflake_private_key=pem, snowflake_password="unused"))
    assert arguments["private_key"] == DER
    assert "password" not in arguments


def test_an_unusable_private_key_is_refused_with_the_variables_name() -> None:
    with pytest.raises(
        SnowflakeError, match=r"SNOWFLAKE_PRIVATE_KEY is not a PEM private key without a passphrase"
    ):
        connect(settings(snowflake_private_key="-----BEGIN NOTHING-----"))


def test_without_a_host_the_connector_finds_the_account_by_itself(
    arguments: dict[str, Any],
) -> None:
    connect(settings(snowflake_password="secret"))
    assert not {"host", "port", "protocol"} & arguments.keys()
    assert (arguments["account"], arguments["password"], arguments["timezone"]) == (
        "ORG-ACCOUNT",
        "secret",
        "UTC",
    )
    assert arguments["session_parameters"] == {
        "DATE_INPUT_FORMAT": "AUTO",
        "TIMESTAMP_INPUT_FORMAT": "AUTO",
    }


def test_an_option_of_the_caller_wins(arguments: dict[str, Any]) -> None:
    connect(settings(), 7, login_timeout=3)
    assert (arguments["network_timeout"], arguments["login_timeout"]) == (7, 3)


def test_without_an_account_the_variable_to_set_is_named() -> None:
    with pytest.raises(SnowflakeError, match="SNOWFLAKE_ACCOUNT"):
        connect(Settings.model_validate({"snowflake_account": ""}))


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (
            OperationalError("no answer"),
            SnowflakeUnreachableError,
            r"Snowflake at h:1 cannot be reached: .*no answer",
        ),
        (
            DatabaseError("wrong password"),
            SnowflakeError,
            r"Snowflake at h:1 refused user 'SERVICE': .*wrong password",
        ),
    ],
)
def test_an_unreachable_server_and_a_refusal_are_different_errors(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception], message: str
) -> None:
    def fail(**_: Any) -> None:
        raise raised

    monkeypatch.setattr(snowflake.connector, "connect", fail)
    with pytest.raises(expected, match=message) as caught:
        connect(settings(snowflake_host="h", snowflake_port=1))
    assert type(caught.value) is expected
