"""Connections to Snowflake, or to a server with its protocol.

Add a session option here; tables and statements belong to `batch`. dagster-snowflake's resource
opens the same session, but its import adds 3.4 to 4.5 s of CPU time to every run (snowflake.core
and snowpark; three runs of 0.29.27). A test keeps it working beside this module, for other assets.
"""

from typing import TYPE_CHECKING, Any

from polygon_assets.clients import tls
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

LOGIN_TIMEOUT_SECONDS = 30
ANSWER_TIMEOUT_SECONDS = 600


class SnowflakeError(PolygonAssetsError):
    """Snowflake refused a session, or the settings are unusable; names the server and the cause."""


class SnowflakeUnreachableError(SnowflakeError):
    """Snowflake did not answer; the message names the server."""


def connect(
    settings: Settings, answer_timeout_seconds: int = ANSWER_TIMEOUT_SECONDS, **options: Any
) -> "SnowflakeConnection":
    """A new session in UTC for the caller, who closes it; threads must not share one.

    A statement is cancelled after `answer_timeout_seconds`; a request is repeated for as long while
    the server fails or cannot be reached. Raises SnowflakeUnreachableError or SnowflakeError; the
    session's statements raise `snowflake.connector.errors.Error`.
    """
    import snowflake.connector  # 1.5 s CPU, which only those who connect pay
    from snowflake.connector.errors import Error, InterfaceError, OperationalError

    if missing := missing_settings(settings, "warehouse"):
        raise SnowflakeError(f"there is no Snowflake to connect to; {not_set(missing)}")
    server = (
        f"{settings.snowflake_host}:{settings.snowflake_port}"
        if settings.snowflake_host
        else settings.snowflake_account
    )
    tls.export(settings)
    arguments = _session(settings, answer_timeout_seconds) | _server(settings)
    try:
        return snowflake.connector.connect(**arguments | _credentials(settings) | options)
    except (InterfaceError, OperationalError) as error:
        raise SnowflakeUnreachableError(
            f"Snowflake at {server} cannot be reached: {settings.conceal(str(error))}"
        ) from error
    except Error as error:
        raise SnowflakeError(
            f"Snowflake at {server} refused user {settings.snowflake_user!r}: "
            f"{settings.conceal(str(error))}"
        ) from error


def _session(settings: Settings, answer_timeout_seconds: int) -> dict[str, Any]:
    return {
        "account": settings.snowflake_account,
        "user": settings.snowflake_user,
        "database": settings.snowflake_database,
        "role": settings.snowflake_role or None,
        "warehouse": settings.snowflake_warehouse or None,
        "timezone": "UTC",
        # With date formats set for the account, Snowflake would refuse the dates as the vendor
        # writes them.
        "session_parameters": {"DATE_INPUT_FORMAT": "AUTO", "TIMESTAMP_INPUT_FORMAT": "AUTO"},
        "autocommit": True,
        # By default the connector queries the metadata services of three clouds, to find where it
        # runs for Snowflake's statistics.
        "platform_detection_timeout_seconds": 0.0,
        "login_timeout": LOGIN_TIMEOUT_SECONDS,
        "network_timeout": answer_timeout_seconds,
    }


def _server(settings: Settings) -> dict[str, Any]:
    if not settings.snowflake_host:
        return {}
    return {
        "host": settings.snowflake_host,
        "port": settings.snowflake_port,
        "protocol": settings.snowflake_protocol,
    }


def _credentials(settings: Settings) -> dict[str, Any]:
    """The private key or, without one, the password: Snowflake refuses services' passwords."""
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
