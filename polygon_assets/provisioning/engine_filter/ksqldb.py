"""The filter as statements of ksqlDB: from RAW_TOPIC to FILTERED_TOPIC and DEAD_LETTER_TOPIC.

Add a stream here; the rules belong to `rules`. ksqlDB has no subqueries, so that each step is a
stream with a topic of its own. Its server has brokers and login.
"""

from polygon_assets.provisioning.engine_filter import rules
from polygon_assets.topics import DEAD_LETTER_TOPIC, FILTERED_TOPIC, RAW_TOPIC

_SMALL = r"-?[0-9]{1,12}(?:\.[0-9]+)?(?:[eE]-[0-9]+)?"
_WITH_EXPONENT = r"-?[0-9](?:\.[0-9]+)?[eE]\+?(?:[0-9]|1[01])"
_DIGITS = {
    "DOUBLE": r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?",
    "BIGINT": "-?[0-9]{1,18}",
    rules.DECIMAL_TYPE: f"{_SMALL}|{_WITH_EXPONENT}",
}
"""By type, the texts that a CAST takes without an error. An error inside an expression would make
the whole column NULL, and with it the reason to refuse the message."""


class KsqlDialect:
    """ksqlDB 0.24 or newer: `fields` maps each field to its text, strings without their quotes."""

    is_object = "COALESCE(`is_object`, FALSE)"

    def has(self, name: str) -> str:
        return f"COALESCE(`fields`['{name}'], 'null') <> 'null'"

    def is_string(self, name: str) -> str:
        return rf"""(REGEXP_EXTRACT('"{name}"\s*:\s*"', `message`) IS NOT NULL)"""

    def string(self, name: str) -> str:
        return f"CASE WHEN {self.is_string(name)} THEN `fields`['{name}'] END"

    def scalar(self, name: str) -> str:
        return f"CASE WHEN NOT {self.is_string(name)} THEN NULLIF(`fields`['{name}'], 'null') END"

    def number(self, text: str, sql_type: str) -> str:
        fits = self.matches(text, _DIGITS[sql_type])
        return f"CASE WHEN {fits} THEN CAST({text} AS {sql_type}) END"

    def matches(self, text: str, pattern: str) -> str:
        return rf"(REGEXP_EXTRACT('^(?:{pattern})\z', {text}) IS NOT NULL)"


def sql(symbols: frozenset[str] | None = None) -> str:
    """All statements; `symbols` are the accepted set's, and None keeps every symbol."""
    dialect = KsqlDialect()
    readable = (
        "FORMAT_TIMESTAMP(FROM_UNIXTIME(`start_timestamp`), "
        "'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''', 'UTC')"
    )
    listed = ", ".join(f"'{symbol}'" for symbol in sorted(symbols or ()))
    subscribed = "" if symbols is None else f" AND `symbol` IN ({listed})"
    return (
        "\n\n".join(
            [
                _HEAD + "SET 'processing.guarantee' = 'exactly_once_v2';",
                "SET 'auto.offset.reset' = 'earliest';",
                "CREATE STREAM polygon_received (`message_key` STRING KEY, `raw` BYTES) WITH (\n"
                f"  KAFKA_TOPIC = '{RAW_TOPIC}', KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'KAFKA'\n);",
                _step("fields", "received", {"raw": "`raw`"} | _origin() | _fields()),
                _step("typed", "fields", _kept() | rules.typed_columns(dialect)),
                _step("judged", "typed", _kept() | _typed() | {"reason": rules.reason(dialect)}),
                _stream(
                    "filtered",
                    "judged",
                    FILTERED_TOPIC,
                    rules.row_columns() | {"readable_timestamp": readable},
                    f"`reason` IS NULL{subscribed}",
                ),
                _stream("refused", "judged", DEAD_LETTER_TOPIC, _letter(), "`reason` IS NOT NULL"),
            ]
        )
        + "\n"
    )


_HEAD = """\
-- The filter as statements of ksqlDB, generated from polygon_assets/provisioning/engine_filter.
-- `polygon-assets engine-filter ksqldb` prints them for your accepted set; docs/engines.md says
-- what differs from our filter. They were not run: ksqlDB is in no package registry.

"""


def _step(name: str, source: str, columns: dict[str, str]) -> str:
    """A stream between input and output."""
    return _stream(name, source, f"polygon_ksqldb_{name}", columns)


def _stream(name: str, source: str, topic: str, columns: dict[str, str], where: str = "") -> str:
    selected = ",\n  ".join(f"{value} AS `{column}`" for column, value in columns.items())
    return (
        f"CREATE STREAM polygon_{name} WITH (KAFKA_TOPIC = '{topic}', VALUE_FORMAT = 'JSON') AS\n"
        f"SELECT\n  `message_key`,\n  {selected}\nFROM polygon_{source}\n"
        + (f"WHERE {where}\n" if where else "")
        + "EMIT CHANGES;"
    )


def _origin() -> dict[str, str]:
    return {"partition": "ROWPARTITION", "offset": "ROWOFFSET"}


def _fields() -> dict[str, str]:
    """The message as text and as a map from each field to its JSON text."""
    message = "FROM_BYTES(`raw`, 'utf8')"
    return {
        "message": message,
        "fields": f"JSON_RECORDS({message})",
        # One JSON object and nothing after it, which JSON functions would ignore; in UTF-8.
        "is_object": (
            f"FROM_BYTES(TO_BYTES({message}, 'utf8'), 'hex') = FROM_BYTES(`raw`, 'hex')\n"
            f"    AND JSON_RECORDS({message}) IS NOT NULL\n"
            f"    AND JSON_ARRAY_LENGTH(CONCAT('[', {message}, ']')) = 1\n"
            f"    AND JSON_RECORDS(CONCAT('{{\"one\":', {message}, '}}')) IS NOT NULL"
        ),
    }


def _kept() -> dict[str, str]:
    return {name: f"`{name}`" for name in ("raw", "partition", "offset")}


def _typed() -> dict[str, str]:
    return {name: f"`{name}`" for name in rules.typed_columns(KsqlDialect())}


def _letter() -> dict[str, str]:
    return {
        "program": "'filter'",
        "stage": "'validate'",
        "reason": "`reason`",
        "raw": "`raw`",
        "refused_at": "UNIX_TIMESTAMP() * 1000",
        "topic": f"'{RAW_TOPIC}'",
        "partition": "`partition`",
        "offset": "`offset`",
    }
