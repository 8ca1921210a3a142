"""The filter as a job of Flink SQL: from RAW_TOPIC to FILTERED_TOPIC and DEAD_LETTER_TOPIC.

Add a table option here; the rules belong to `rules`. Kafka's login comes from the variables of the
machines that run the job, so the file has no secret.
"""

from dataclasses import dataclass

from msgspec import structs

from polygon_assets.messages import RawAggregate
from polygon_assets.provisioning.engine_filter import rules
from polygon_assets.settings import Settings
from polygon_assets.topics import DEAD_LETTER_TOPIC, FILTERED_TOPIC, RAW_TOPIC

GROUP = "polygon_filter_flink"
"""Its own, because our filter may run beside the job."""
_CLIENTS = "org.apache.flink.kafka.shaded.org.apache.kafka.common"
"""Kafka's clients inside Flink's connector."""
CHECKPOINT = "1 s"
"""Readers see a row once the checkpoint after it is complete: the delay of exactly once."""
TRANSACTION_MS = 900_000
"""The longest that brokers allow by default. A job that is away longer loses what it had written
and not committed, so it must then start from the offsets of its last checkpoint again."""


class FlinkDialect:
    """Flink 2.2: JSON functions on the text `message`, whose fields are columns of their own."""

    is_object = "`is_object`"

    def has(self, name: str) -> str:
        return f"{self.scalar(name)} IS NOT NULL"

    def is_string(self, name: str) -> str:
        return f"{self.scalar(name)} LIKE '\"%'"

    def string(self, name: str) -> str:
        content = f"JSON_VALUE(`message`, '$.{name}')"
        return f"CASE WHEN {self.is_string(name)} THEN {content} END"

    def scalar(self, name: str) -> str:
        """A string has its quotes here, so that it is no number."""
        return f"`{name}_json`"

    def number(self, text: str, sql_type: str) -> str:
        number = f"TRY_CAST({text} AS {sql_type})"
        # TRY_CAST takes 1.5 for the integer 1.
        whole = self.matches(text, "-?[0-9]+")
        return f"CASE WHEN {whole} THEN {number} END" if sql_type == "BIGINT" else number

    def matches(self, text: str, pattern: str) -> str:
        return rf"REGEXP({text}, '^(?:{pattern})\z')"


@dataclass(frozen=True)
class Job:
    """What differs between two installations of the job."""

    brokers: str = "broker:9092"
    kafka_options: tuple[tuple[str, str], ...] = ()
    """Of Kafka's clients, without a prefix."""
    symbols: frozenset[str] | None = None
    """The accepted set's; None keeps every symbol."""


def kafka_options(settings: Settings) -> tuple[tuple[str, str], ...]:
    """The options of Kafka's clients for a login; the machines' variables have its secrets."""
    options: dict[str, str] = {"security.protocol": settings.kafka_security_protocol}
    if settings.ca_bundle:
        options |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": settings.ca_bundle}
    if settings.kafka_uses_sasl:
        kind = "plain.Plain" if settings.kafka_sasl_mechanism == "PLAIN" else "scram.Scram"
        login = f"{_CLIENTS}.security.{kind}LoginModule"
        options |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "config.providers": "env",
            "config.providers.env.class": f"{_CLIENTS}.config.provider.EnvVarConfigProvider",
            "sasl.jaas.config": f'{login} required username="${{env:KAFKA_SASL_USERNAME}}" '
            'password="${env:KAFKA_SASL_PASSWORD}";',
        }
    return tuple(options.items())


def sql(job: Job) -> str:
    """The whole job, for Flink's SQL client."""
    return ";\n\n".join(
        [
            f"{_HEAD}SET 'pipeline.name' = '{GROUP}'",
            f"SET 'execution.checkpointing.interval' = '{CHECKPOINT}'",
            "SET 'table.local-time-zone' = 'UTC'",
            _source(job),
            _sink(job, "filtered", FILTERED_TOPIC, _filtered_columns(), symbol_is_key=True),
            _sink(job, "dead_letters", DEAD_LETTER_TOPIC, _LETTER_COLUMNS),
            *_views(),
            "EXECUTE STATEMENT SET BEGIN\n" + _inserts(job.symbols) + ";\nEND;\n",
        ]
    )


_HEAD = """\
-- The filter as a job of Flink SQL, generated from polygon_assets/provisioning/engine_filter.
-- `polygon-assets engine-filter flink` prints it for your brokers and your accepted set;
-- docs/engines.md says how to run it and what differs from our filter.

"""
_LETTER_COLUMNS = {
    "program": "STRING",
    "stage": "STRING",
    "reason": "STRING",
    "raw": "BYTES",
    "refused_at": "BIGINT",
    "topic": "STRING",
    "partition": "INT",
    "offset": "BIGINT",
}
"""Those of `messages.DeadLetter` that a letter of the filter has; JSON has bytes in base64."""


def _filtered_columns() -> dict[str, str]:
    names = (*rules.row_columns(), "readable_timestamp")
    return {name: rules.row_type(name) for name in names}


def _table(name: str, columns: list[str], options: dict[str, str]) -> str:
    body = ",\n".join(f"  {column}" for column in columns)
    quoted = {key: value.replace("'", "''") for key, value in options.items()}
    pairs = ",\n".join(f"  '{key}' = '{value}'" for key, value in quoted.items())
    return f"CREATE TEMPORARY TABLE `{name}` (\n{body}\n) WITH (\n{pairs}\n)"


def _kafka(job: Job, topic: str) -> dict[str, str]:
    return {
        "connector": "kafka",
        "topic": topic,
        "properties.bootstrap.servers": job.brokers,
    } | {f"properties.{key}": value for key, value in job.kafka_options}


def _source(job: Job) -> str:
    columns = [
        "`raw` BYTES",
        "`topic` STRING METADATA VIRTUAL",
        "`partition` INT METADATA VIRTUAL",
        "`offset` BIGINT METADATA VIRTUAL",
    ]
    options = _kafka(job, RAW_TOPIC) | {
        "properties.group.id": GROUP,
        "properties.auto.offset.reset": "earliest",
        "scan.startup.mode": "group-offsets",
        "format": "raw",
    }
    return _table("received", columns, options)


def _sink(
    job: Job, name: str, topic: str, columns: dict[str, str], *, symbol_is_key: bool = False
) -> str:
    key = {"key.format": "raw", "key.fields": "symbol"} if symbol_is_key else {}
    options = _kafka(job, topic) | {
        "value.format": "json",
        **key,
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": f"{GROUP}_{name}",
        "properties.transaction.timeout.ms": str(TRANSACTION_MS),
    }
    return _table(name, [f"`{column}` {kind}" for column, kind in columns.items()], options)


def _views() -> tuple[str, ...]:
    """From bytes to fields, to values, to the reason to refuse them."""
    names = [field.name for field in structs.fields(RawAggregate)]
    arrays = {
        f"{name}_array": f"JSON_QUERY(`message`, '$.{name}' WITH UNCONDITIONAL ARRAY WRAPPER)"
        for name in names
    }
    fields = ", ".join(
        f"\n  SUBSTRING(`{name}_array`, 2, CHAR_LENGTH(`{name}_array`) - 2) AS `{name}_json`"
        for name in names
    )
    dialect = FlinkDialect()
    typed = rules.typed_columns(dialect)
    return (
        _view(
            "decoded",
            "SELECT COALESCE(`raw`, X'') AS `raw`, `topic`, `partition`, `offset`,\n"
            "  DECODE(COALESCE(`raw`, X''), 'UTF-8') AS `message`\nFROM `received`",
        ),
        _computed_once("parsed", "decoded", {"is_object": _is_object()} | arrays),
        _view("fields", f"SELECT {_ORIGIN}, `message`, `is_object`,{fields}\nFROM `parsed`"),
        _computed_once("typed", "fields", typed),
        _computed_once("judged", "typed", {"reason": rules.reason(dialect)}),
    )


_ORIGIN = "`raw`, `topic`, `partition`, `offset`"


def _view(name: str, query: str) -> str:
    return f"CREATE TEMPORARY VIEW `{name}` AS\n{query}"


def _computed_once(name: str, source: str, columns: dict[str, str]) -> str:
    """A view that adds columns as the fields of an array's only row.

    The planner would otherwise put each expression wherever its column is used, and the nested
    expressions would grow beyond what it can plan.
    """
    expressions = ",\n  ".join(columns.values())
    named = ", ".join(f"`{column}`" for column in columns)
    return _view(
        name,
        f"SELECT * FROM `{source}` CROSS JOIN UNNEST(ARRAY[ROW(\n  {expressions}\n)]) "
        f"AS `computed` ({named})",
    )


def _is_object() -> str:
    """One JSON object and nothing after it, which JSON functions would ignore; in UTF-8."""
    return (
        "(ENCODE(`message`, 'UTF-8') = `raw` AND `message` IS JSON OBJECT\n"
        "    AND CONCAT('[', `message`, ']') IS JSON ARRAY\n"
        "    AND CONCAT('{\"one\":', `message`, '}') IS JSON OBJECT)"
    )


def _inserts(symbols: frozenset[str] | None) -> str:
    columns = [f"{value} AS `{name}`" for name, value in rules.row_columns().items()]
    columns.append(
        "DATE_FORMAT(TO_TIMESTAMP_LTZ(`start_timestamp`, 3), "
        "'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''') AS `readable_timestamp`"
    )
    listed = ", ".join(f"'{symbol}'" for symbol in sorted(symbols or ()))
    subscribed = "" if symbols is None else f" AND `symbol` IN ({listed})"
    return (
        "INSERT INTO `filtered`\nSELECT\n  "
        + ",\n  ".join(columns)
        + f"\nFROM `judged` WHERE `reason` IS NULL{subscribed};\n"
        "INSERT INTO `dead_letters`\nSELECT 'filter', 'validate', `reason`, `raw`,\n"
        "  UNIX_TIMESTAMP() * 1000000, `topic`, `partition`, `offset`\n"
        "FROM `judged` WHERE `reason` IS NOT NULL"
    )
