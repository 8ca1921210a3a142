"""Connections to Snowflake, or to a server that speaks its protocol."""

from typing import TYPE_CHECKING, Any

from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

LOGIN_TIMEOUT_SECONDS = 30
ANSWER_TIMEOUT_SECONDS = 600


class SnowflakeError(Exception):
    """No session: Snowflake refused it or the settings are no use; the message names the server and the cause."""


class SnowflakeUnreachableError(SnowflakeError):
    """Nobody answered; the message names the server."""


def connect(
    settings: Settings, answer_timeout_seconds: int = ANSWER_TIMEOUT_SECONDS, **options: Any
) -> "SnowflakeConnection":
    """A session of its own for the caller, in UTC: sessions are not shared between threads. Close it.

    `answer_timeout_seconds` is how long a statement may take before it is cancelled, and how long a request is repeated when the server
    fails or is gone. Raises SnowflakeUnreachableError or SnowflakeError; its statements raise `snowflake.connector.errors.Error`.
    """
    import snowflake.connector  # 1.5 s CPU: paid by those who connect
    from snowflake.connector.errors import Error, InterfaceError, OperationalError

    if not settings.snowflake_account:
        raise SnowflakeError(
            "no Snowflake to connect to: set SNOWFLAKE_ACCOUNT (and SNOWFLAKE_USER, SNOWFLAKE_PRIVATE_KEY)"
        )
    arguments = {
        "account": settings.snowflake_account,
        "user": settings.snowflake_user,
        "database": settings.snowflake_database,
        "role": settings.snowflake_role or None,
        "warehouse": settings.snowflake_warehouse or None,
        "timezone": "UTC",
        # An account may have formats of its own, with which dates as the vendor writes them would not be read.
        "session_parameters": {"DATE_INPUT_FORMAT": "AUTO", "TIMESTAMP_INPUT_FORMAT": "AUTO"},
        "autocommit": True,
        # Otherwise the connector asks the metadata services of three clouds where it runs, for Snowflake's statistics.
        "platform_detection_timeout_seconds": 0.0,
        "login_timeout": LOGIN_TIMEOUT_SECONDS,
        "network_timeout": answer_timeout_seconds,
    }
    where = (
        f"{settings.snowflake_host}:{settings.snowflake_port}"
        if settings.snowflake_host
        else settings.snowflake_account
    )
    try:
        return snowflake.connector.connect(
            **arguments | _server(settings) | _credentials(settings) | options
        )
    except (InterfaceError, OperationalError) as error:
        raise SnowflakeUnreachableError(
            f"Snowflake at {where} cannot be reached: {error}"
        ) from error
    except Error as error:
        raise SnowflakeError(
            f"Snowflake at {where} refused user {settings.snowflake_user!r}: {error}"
        ) from error


def _server(settings: Settings) -> dict[str, Any]:
    if not settings.snowflake_host:
        return {}
    return {
        "host": settings.snowflake_host,
        "port": settings.snowflake_port,
        "protocol": settings.snowflake_protocol,
    }


def _credentials(settings: Settings) -> dict[str, Any]:
    """The private key where there is one, since Snowflake refuses passwords to services; otherwise the password."""
    pem = settings.snowflake_private_key.get_secret_value()
    if not pem:
        return {"password": settings.snowflake_password.get_secret_value()}
    return {"private_key": _der(pem)}


def _der(pem: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (TypeError, ValueError) as error:
        raise SnowflakeError(
            f"SNOWFLAKE_PRIVATE_KEY is not a PEM private key without a passphrase: {error}"
        ) from None
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
