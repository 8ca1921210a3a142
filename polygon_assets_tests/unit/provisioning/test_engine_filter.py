"""The statements for Flink and ksqlDB: what is deployed is what the rules give, without a secret.

DuckDB evaluates ksqlDB's statements here, with stand-ins for the functions that it lacks, because
ksqlDB is in no package registry. Flink itself runs its job in processes/test_flink_filter.py.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import certifi
import duckdb
import msgspec
import pytest
import sqlglot
from click.testing import CliRunner
from pydantic import SecretStr
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokens import Tokenizer as SqlglotTokenizer

from polygon_assets.cli import main
from polygon_assets.events.validation import readable
from polygon_assets.messages import FilteredAggregate, decode_dead_letter
from polygon_assets.provisioning.engine_filter import flink, ksqldb
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.provisioning.filter_cases import (
    SUBSCRIBED,
    comparable,
    messages,
    outcome,
)
from scripts import engine_sql

PASSWORD = "planted-engine-password-8c1d"


@pytest.mark.parametrize("path", engine_sql.files(), ids=lambda path: path.parent.name)
def test_the_deployed_statements_are_those_of_the_rules(path: Any) -> None:
    assert path.read_text() == engine_sql.files()[path], "run python -m scripts.engine_sql"


def test_flinks_job_has_the_login_but_not_the_password() -> None:
    settings = Settings(
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="sa-1",
        kafka_sasl_password=SecretStr(PASSWORD),
        ca_bundle=certifi.where(),
    )
    options = flink.kafka_options(settings)
    job = flink.sql(flink.Job("b:1", (*options, ("client.id", "it's"))))
    assert PASSWORD not in job
    assert job.count("ScramLoginModule required") == 3
    assert job.count(f"'properties.ssl.truststore.location' = '{certifi.where()}'") == 3
    assert job.count("'properties.client.id' = 'it''s'") == 3


def test_only_the_accepted_symbols_pass() -> None:
    wanted = frozenset({"BRK.B", "AAPL"})
    for text in (flink.sql(flink.Job(symbols=wanted)), ksqldb.sql(wanted)):
        assert text.count("`reason` IS NULL AND `symbol` IN ('AAPL', 'BRK.B')") == 1


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_HOST", "production")
    answer = CliRunner().invoke(main, ["engine-filter", "flink"])
    assert answer.exit_code == 1
    assert "KAFKA_BOOTSTRAP_SERVERS" in answer.stderr


class _KsqlDB(Dialect):
    """As much of ksqlDB's dialect as the statements use."""

    class Tokenizer(SqlglotTokenizer):
        IDENTIFIERS = ["`"]  # noqa: RUF012 (as in sqlglot)


def _selects() -> dict[str, exp.Expression]:
    """By stream, the query of each CREATE STREAM AS SELECT, for DuckDB."""
    found = {}
    for statement in ksqldb.sql(SUBSCRIBED).split(";\n"):
        head, found_as, query = statement.partition(" AS\nSELECT")
        if found_as:
            name = head.split("CREATE STREAM ")[1].split()[0]
            text = f"SELECT{query}".replace("EMIT CHANGES", "")
            found[name] = sqlglot.parse_one(text, read=_KsqlDB).transform(_to_duckdb)
    return found


def _to_duckdb(node: exp.Expression) -> exp.Expression:
    """The same meaning in DuckDB, where it differs: integer division, functions.

    A CAST that fails ends the test; in ksqlDB it would make the whole column NULL.
    """
    match node:
        case exp.Div(expression=exp.Literal() as divisor) if "." not in divisor.this:
            return exp.IntDiv(this=node.this.transform(_to_duckdb), expression=divisor)
        case exp.Func() if _name(node) in {name for name, *_ in STAND_INS}:
            given = [item for item in node.args.values() if isinstance(item, exp.Expression)]
            changed = [item.transform(_to_duckdb) for item in node.expressions or given]
            return exp.Anonymous(this=f"ksqldb_{_name(node)}", expressions=changed)
    return node


def _name(function: Any) -> str:
    known = function.sql_name()
    return str(function.name if known == "ANONYMOUS" else known).lower()


def _first_match(pattern: str, text: str | None) -> str | None:
    found = re.search(pattern.replace(r"\z", r"\Z"), text) if text is not None else None
    return found and found[0]


def _unquoted(value: object) -> str:
    """A number as Java's BigDecimal writes it, which Decimal does too."""
    return str(value) if isinstance(value, str | Decimal) else json.dumps(value, default=str)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except ValueError:
        return None


def _records(text: str) -> dict[str, str] | None:
    value = _loads(text)
    if not isinstance(value, dict):
        return None
    return {key: _unquoted(item) for key, item in value.items()}


def _array_length(text: str) -> int | None:
    value = _loads(text)
    return len(value) if isinstance(value, list) else None


def _from_bytes(value: bytes, encoding: str) -> str:
    return value.hex() if encoding == "hex" else value.decode(errors="replace")


TEXT = "VARCHAR"
STAND_INS: tuple[tuple[str, Callable[..., Any], list[str], str], ...] = (
    ("regexp_extract", _first_match, [TEXT, TEXT], TEXT),
    ("json_records", _records, [TEXT], "MAP(VARCHAR, VARCHAR)"),
    ("json_array_length", _array_length, [TEXT], "BIGINT"),
    ("from_bytes", _from_bytes, ["BLOB", TEXT], TEXT),
    ("to_bytes", lambda text, _encoding: text.encode(), [TEXT, TEXT], "BLOB"),
    ("from_unixtime", lambda milliseconds: milliseconds, ["BIGINT"], "BIGINT"),
    ("format_timestamp", lambda ms, _format, _zone: readable(ms), ["BIGINT", TEXT, TEXT], TEXT),
    ("unix_timestamp", lambda: 1_795_000_000_000, [], "BIGINT"),
)
"""Functions that DuckDB lacks or has with another meaning, as ksqlDB's source has them."""


@pytest.fixture(scope="module")
def streams() -> Any:
    """DuckDB with a table for each of ksqlDB's streams, made of the messages."""
    database: Any = duckdb.connect()
    for name, function, parameters, result in STAND_INS:
        database.create_function(
            f"ksqldb_{name}", function, parameters, result, null_handling="special"
        )
    database.execute(
        "CREATE TABLE polygon_received"
        "(message_key VARCHAR, raw BLOB, ROWPARTITION INTEGER, ROWOFFSET BIGINT)"
    )
    rows = [("key", message, 0, offset) for offset, message in enumerate(messages())]
    database.executemany("INSERT INTO polygon_received VALUES (?, ?, ?, ?)", rows)
    for name, select in _selects().items():
        database.execute(f"CREATE TABLE {name} AS {select.sql(dialect='duckdb')}")
    return database


def _table(streams: Any, name: str) -> list[dict[str, Any]]:
    cursor = streams.execute(f"SELECT * FROM {name}")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_ksqldbs_statements_forward_the_rows_of_our_filter(streams: Any) -> None:
    rows = _table(streams, "polygon_filtered")
    assert {row.pop("message_key") for row in rows} == {"key"}
    expected = [row for row in map(outcome, messages()) if isinstance(row, FilteredAggregate)]
    assert [msgspec.convert(row, FilteredAggregate) for row in rows] == expected
    assert [list(row) for row in rows] == [list(FilteredAggregate.__struct_fields__)] * len(rows)


def test_ksqldbs_statements_refuse_what_our_filter_refuses(streams: Any) -> None:
    letters = _table(streams, "polygon_refused")
    for letter in letters:
        letter.pop("message_key")
        decode_dead_letter(msgspec.json.encode(letter))
    reasons = {letter["offset"]: comparable(letter["reason"]) for letter in letters}
    expected = {
        offset: comparable(reason)
        for offset, reason in enumerate(map(outcome, messages()))
        if isinstance(reason, str)
    }
    assert reasons == expected
    assert all(letter["raw"] == messages()[letter["offset"]] for letter in letters)
