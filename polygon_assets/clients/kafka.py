"""Connections to Kafka: librdkafka for stream programs, kafka-python for inspection and admin.

Add a client option here; why a connection is refused belongs to `kafka_access`, topics to `topics`,
their messages to `messages`, and reading them for the status to `inspection.kafka_reader`.
"""

from typing import TYPE_CHECKING, Any

from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer
    from confluent_kafka.admin import AdminClient
    from kafka import KafkaAdminClient, KafkaConsumer

ACKNOWLEDGE_SECONDS = 60.0
"""How long a run waits for the brokers to acknowledge what it published; then they are away, and it
is to be run again. A stream program waits without an end."""


def connect_producer(settings: Settings, **options: Any) -> "Producer":
    """A librdkafka producer that waits for all replicas.

    Idempotence stays off: the newest `received_at` wins downstream, so a duplicate changes nothing,
    while an idempotent producer fails for good once the broker has lost its producer id.
    """
    from confluent_kafka import Producer

    return Producer(
        _librdkafka(settings)
        | {
            "acks": "all",
            "enable.idempotence": False,
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.size": 262_144,
            # As the Java client and kafka-python: a symbol has one partition, whoever writes it.
            "partitioner": "murmur2_random",
            "message.timeout.ms": 0,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 262_144,
        }
        | options
    )


def connect_consumer(settings: Settings, group: str, **options: Any) -> "Consumer":
    """A librdkafka consumer in `group`: starts at the oldest message, never commits by itself."""
    from confluent_kafka import Consumer

    return Consumer(
        _librdkafka(settings)
        | {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 2_000,
            "max.poll.interval.ms": 60_000,
            "partition.assignment.strategy": "range",
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 65_536,
        }
        | options
    )


def connect_probe(settings: Settings, **options: Any) -> "AdminClient":
    """A librdkafka client that only logs in, and whose reasons go to `error_cb`, not to a log."""
    from confluent_kafka.admin import AdminClient

    return AdminClient(_librdkafka(settings) | {"log_level": 0} | options)


def connect_inspector(settings: Settings, *topics: str, **options: Any) -> "KafkaConsumer":
    """A kafka-python consumer without a group, which reads topics and commits nothing."""
    from kafka import KafkaConsumer

    return KafkaConsumer(
        *topics,
        **_kafka_python(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **options,
    )


def connect_admin(settings: Settings) -> "KafkaAdminClient":
    """A kafka-python admin client for topics, groups and committed offsets."""
    from kafka import KafkaAdminClient

    return KafkaAdminClient(**_kafka_python(settings))


def _librdkafka(settings: Settings) -> dict[str, Any]:
    options = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "reconnect.backoff.max.ms": 2_000,
        "topic.metadata.refresh.interval.ms": 10_000,
    }
    if settings.ca_bundle:
        options["ssl.ca.location"] = settings.ca_bundle
    return options | (
        {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": settings.kafka_sasl_password.get_secret_value(),
        }
        if settings.kafka_uses_sasl
        else {}
    )


def _kafka_python(settings: Settings) -> dict[str, Any]:
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_cafile": settings.ca_bundle or None,
        "request_timeout_ms": 10_000,
    } | (
        {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
        if settings.kafka_uses_sasl
        else {}
    )
