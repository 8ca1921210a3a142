"""Why Kafka cannot be used, in one sentence with the cure: address, certificate, login, rights.

Add a reason here; the options of a connection belong to `kafka`, and what follows from a refusal to
the callers. kafka-python repeats a refused login until its time-out and keeps the reason for its
log, so `check` connects once before it, as librdkafka does.
"""

import socket
import ssl
import time
from typing import TYPE_CHECKING

from polygon_assets.clients import tls
from polygon_assets.clients.kafka import connect_probe
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

CONNECT_SECONDS = 3.0
"""A broker that takes no connection within this time is away; the next one is tried."""
ANSWER_SECONDS = 0.1
"""The first wait for the answer to a login; each further wait is twice as long."""

# The same numbers in librdkafka and kafka-python; the negative ones are librdkafka's own.
SSL, AUTHENTICATION = -181, -169
INVALID_SESSION_TIMEOUT = 26
TOPIC_AUTHORIZATION, GROUP_AUTHORIZATION, CLUSTER_AUTHORIZATION = 29, 30, 31
UNREACHABLE = frozenset({-195, -187, -193, -185})
"""Transport, all brokers down, a name that is not resolved, timed out."""
MISSING_RIGHTS = frozenset({TOPIC_AUTHORIZATION, GROUP_AUTHORIZATION, CLUSTER_AUTHORIZATION})
_OTHER_SERVER = frozenset({62, 64})
"""OpenSSL's codes for a certificate of another host name or IP address."""


class KafkaAccessError(PolygonAssetsError):
    """No broker can be used now; the message names the brokers, the cause and the cure."""


class KafkaRefusedError(KafkaAccessError):
    """The settings are refused, by this machine or by a broker: only a person can change that."""


def check(settings: Settings, seconds: float) -> None:
    """Connect and log in once. Raises KafkaAccessError, within milliseconds if no broker listens.

    KafkaRefusedError is the answer of a broker; one that does not answer in time may be busy.
    """
    if missing := missing_settings(settings, "kafka"):
        protocol = settings.kafka_security_protocol
        needed_by = f" (KAFKA_SECURITY_PROTOCOL={protocol} needs them)"
        raise KafkaRefusedError(not_set(missing) + (needed_by if settings.kafka_uses_sasl else ""))
    _check_brokers(settings, min(seconds, CONNECT_SECONDS))
    if settings.kafka_uses_sasl:
        _check_login(settings, seconds)


def explain(
    settings: Settings, error: "KafkaError", operation: str = "", topic: str = "", group: str = ""
) -> str:
    """An error of librdkafka as a sentence; `operation` on `topic` is what was tried."""
    code, message = error.code(), error.str()
    if code in MISSING_RIGHTS:
        return missing_right(settings, code, operation, topic, group)
    # Without the duration of the attempt, so that the same reason is the same text.
    reason = settings.conceal(message.split(" (after ")[0].split("/bootstrap: ")[-1])
    if code == AUTHENTICATION:
        return (
            f"Kafka at {settings.kafka_bootstrap_servers} refuses the login of user "
            f"{settings.kafka_sasl_username!r}: {reason}; check KAFKA_SASL_USERNAME, "
            f"KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM={settings.kafka_sasl_mechanism}"
        )
    if code == SSL:
        return f"Kafka at {settings.kafka_bootstrap_servers}: {reason}; check CA_BUNDLE"
    if code == INVALID_SESSION_TIMEOUT:
        return (
            f"Kafka at {settings.kafka_bootstrap_servers} refuses "
            f"LEADER_SESSION_SECONDS={settings.leader_session_seconds:g}; choose a value between "
            f"its group.min.session.timeout.ms and group.max.session.timeout.ms"
        )
    return str(error)


def missing_right(
    settings: Settings, code: int, operation: str, topic: str, group: str = ""
) -> str:
    """The sentence about a right that the user lacks; `code` is Kafka's."""
    operation, resource = {
        TOPIC_AUTHORIZATION: (operation, f"topic {topic}"),
        GROUP_AUTHORIZATION: ("READ", f"group {group}"),
        CLUSTER_AUTHORIZATION: (operation, "the cluster"),
    }[code]
    return (
        f"Kafka at {settings.kafka_bootstrap_servers} does not let user "
        f"{settings.kafka_sasl_username!r} {operation.lower()} {resource}; "
        f"an administrator must add an ACL that allows {operation} on it"
    )


def no_answer(settings: Settings, reason: str) -> str:
    """The sentence about a broker that takes connections and does not answer."""
    protocol = settings.kafka_security_protocol
    return (
        f"Kafka at {settings.kafka_bootstrap_servers}: {reason}; are the brokers busy, or does "
        f"KAFKA_SECURITY_PROTOCOL={protocol} not fit their port?"
    )


def _check_brokers(settings: Settings, seconds: float) -> None:
    """Raise where no broker listens, or none has a certificate that this machine trusts."""
    causes, refusals = [], []
    for server in settings.kafka_bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            _connect(settings, host.strip("[]"), int(port), seconds)
        except ssl.SSLCertVerificationError as error:
            refusals.append(f"{server}: {_untrusted(settings, error)}")
        except ssl.SSLError as error:
            causes.append(f"{server}: {error}; does KAFKA_SECURITY_PROTOCOL fit this port?")
        except (OSError, ValueError) as error:
            causes.append(f"{server}: {error}")
        else:
            return
    if refusals:
        raise KafkaRefusedError(f"Kafka at {'; '.join(refusals)}")
    raise KafkaAccessError(
        f"Kafka: {'; '.join(causes)}; check KAFKA_BOOTSTRAP_SERVERS and the brokers"
    )


def _connect(settings: Settings, host: str, port: int, seconds: float) -> None:
    with socket.create_connection((host, port), timeout=seconds) as connection:
        if settings.kafka_security_protocol.endswith("SSL"):
            tls.context(settings).wrap_socket(connection, server_hostname=host).close()


def _untrusted(settings: Settings, error: ssl.SSLCertVerificationError) -> str:
    cure = (
        "check KAFKA_BOOTSTRAP_SERVERS"
        if error.verify_code in _OTHER_SERVER
        else f"CA_BUNDLE={settings.ca_bundle!r} must name a PEM file with the broker's authority"
    )
    return f"certificate verify failed: {error.verify_message}; {cure}"


def _check_login(settings: Settings, seconds: float) -> None:
    """Raise KafkaRefusedError where a broker refuses user, password or mechanism."""
    from confluent_kafka import KafkaException

    errors: list[KafkaError] = []
    client = connect_probe(settings, error_cb=errors.append)
    deadline, wait = time.monotonic() + seconds, ANSWER_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        try:
            client.list_topics(timeout=min(wait, left))
        except KafkaException:
            client.poll(0)
        else:
            return
        if refusals := [error for error in errors if error.code() in (SSL, AUTHENTICATION)]:
            raise KafkaRefusedError(explain(settings, refusals[0]))
        wait *= 2
    raise KafkaAccessError(no_answer(settings, f"no login within {seconds:.0f} s"))
