"""The connectors of deploy/connect: documented keys, our topics, no secret; differences to Connect.

Requests belong to unit/clients/test_kafka_connect.py, the runtime to
processes/test_connect_runtime.py.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from polygon_assets.cli import main
from polygon_assets.provisioning.connector_plan import (
    ConnectorFile,
    ConnectorFileError,
    change,
    read_file,
)
from polygon_assets.settings import Settings
from polygon_assets.topics import (
    DEAD_LETTER_GROUP,
    DEAD_LETTER_TOPIC,
    FILTERED_TOPIC,
    SINK_GROUP,
)
from polygon_assets_tests.connect_stub import ConnectStub, connect_stub, failed

CONNECT = Path(__file__).parents[3] / "deploy" / "connect"
AGGREGATES = CONNECT / "stock_aggregates.json"
EXACTLY_ONCE = CONNECT / "stock_aggregates_exactly_once.json"
DEAD_LETTER_QUEUE = CONNECT / "stock_aggregates_dead_letter_queue.json"
DEAD_LETTERS = CONNECT / "dead_letters.json"
FILES = (AGGREGATES, EXACTLY_ONCE, DEAD_LETTER_QUEUE, DEAD_LETTERS)
MIGRATIONS = Path(__file__).parents[3] / "polygon_assets" / "serving" / "migrations"

SINK_KEYS = """hostname port database username password ssl jdbcConnectionProperties timeoutSeconds
    retryCount tableRefreshInterval exactlyOnce suppressTableExistenceException clickhouseSettings
    topic2TableMap errors.tolerance customInsertFormat insertFormat proxyType proxyHost proxyPort
    zkPath zkDatabase enableDbTopicSplit dbTopicSplitChar keeperOnCluster bypassRowBinary
    dateTimeFormats clientVersion tolerateStateMismatch bypassSchemaValidation bypassFieldCleanup
    debeziumCDCEnabled ignorePartitionsWhenBatching bufferCount bufferFlushTime
    clickhouseClientInsertTimeoutMs reportInsertedOffsets ssl_socket_sni auto.evolve
    auto.evolve.ddl.refresh.retries auto.evolve.struct.to.json clusterName"""
"""What release 1.5.0 of the sink declares: ClickHouse/clickhouse-kafka-connect at commit 483f7c4,
src/main/java/com/clickhouse/kafka/connect/sink/ClickHouseSinkConfig.java, createConfigDef()."""
CONNECT_KEYS = """connector.class tasks.max topics key.converter value.converter
    value.converter.schemas.enable errors.log.enable errors.log.include.messages
    errors.deadletterqueue.topic.name errors.deadletterqueue.topic.replication.factor
    errors.deadletterqueue.context.headers.enable"""
"""Sink connectors' keys of Kafka Connect itself (kafka.apache.org, Sink Connector Configs)."""
CONSUMER_KEYS = """group.id auto.offset.reset max.poll.records max.partition.fetch.bytes
    fetch.min.bytes fetch.max.wait.ms"""
"""Keys of Kafka's consumer (kafka.apache.org, Consumer Configs), behind `consumer.override.`"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_has_documented_keys_only(path: Path) -> None:
    documented = {
        *f"{SINK_KEYS} {CONNECT_KEYS}".split(),
        *(f"consumer.override.{key}" for key in CONSUMER_KEYS.split()),
    }
    assert read_file(path).config.keys() <= documented


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_takes_address_and_login_from_variables_that_our_programs_have_too(
    path: Path,
) -> None:
    config = read_file(path).config
    named = {key: match[1] for key in config if (match := re.match(r"\$\{env:(.*)}$", config[key]))}
    assert named.keys() == {"hostname", "port", "ssl", "username", "password"}
    assert {name.lower() for name in named.values()} <= Settings.model_fields.keys()
    assert named["password"] == "CLICKHOUSE_PASSWORD"


def worker_properties() -> dict[str, str]:
    return dict(
        line.split("=", 1)
        for line in (CONNECT / "worker.properties").read_text().splitlines()
        if line and not line.startswith("#")
    )


def test_the_workers_rest_api_asks_for_a_login_and_listens_on_one_machine() -> None:
    """With the policy `All`, who may create a connector may set any client property."""
    properties = worker_properties()
    assert properties["listeners"].startswith("http://127.0.0.1:")
    extension = "org.apache.kafka.connect.rest.basic.auth.extension"
    assert properties["rest.extension.classes"] == f"{extension}.BasicAuthSecurityRestExtension"
    login = (CONNECT / "rest_login.conf").read_text()
    assert f"\n  {extension}.PropertyFileLoginModule required\n" in login
    option = re.search(r'file="\$\{(.*)}";', login)
    assert option
    assert f"-D{option[1]}=" in (CONNECT.parents[1] / "docs/kafka.md").read_text()


def test_the_worker_lets_connectors_read_the_variables_they_name_and_no_others() -> None:
    properties = worker_properties()
    allowed = re.compile(properties["config.providers.env.param.allowlist.pattern"])
    text = "".join(path.read_text() for path in (*FILES, CONNECT / "worker.properties"))
    named = set(re.findall(r"\$\{env:([^}]*)}", text))
    assert {name.lower() for name in named} <= Settings.model_fields.keys()
    assert [name for name in named if not allowed.fullmatch(name)] == []
    assert not allowed.fullmatch("POLYGON_API_KEY")
    # Our connectors override the consumer's group, which the worker must permit.
    assert properties["connector.client.config.override.policy"] == "All"


def test_aggregates_go_to_the_table_that_takes_them_as_they_are_in_the_group_of_our_sink() -> None:
    config = read_file(AGGREGATES).config
    assert config["topics"] == FILTERED_TOPIC
    assert config["topic2TableMap"] == f"{FILTERED_TOPIC}=stock_aggregates_ingest"
    assert config["consumer.override.group.id"] == SINK_GROUP


def test_dead_letters_go_to_their_table_in_the_group_of_our_loader() -> None:
    connector = read_file(DEAD_LETTERS)
    assert connector.config["topics"] == DEAD_LETTER_TOPIC
    assert connector.config["topic2TableMap"] == f"{DEAD_LETTER_TOPIC}=dead_letters_ingest"
    assert connector.config["consumer.override.group.id"] == DEAD_LETTER_GROUP


def test_the_tables_exist_in_the_migrations() -> None:
    sql = "".join(path.read_text() for path in MIGRATIONS.glob("*.sql"))
    for path in FILES:
        config = read_file(path).config
        table = config["topic2TableMap"].partition("=")[2]
        assert f"CREATE TABLE IF NOT EXISTS {config['database']}.{table} (" in sql


def test_the_ways_to_load_aggregates_differ_in_what_makes_them_different() -> None:
    names = {read_file(path).name for path in (AGGREGATES, EXACTLY_ONCE, DEAD_LETTER_QUEUE)}
    assert len(names) == 1
    plain, once, queue = (
        set(read_file(path).config.items())
        for path in (AGGREGATES, EXACTLY_ONCE, DEAD_LETTER_QUEUE)
    )
    assert {key for key, _ in plain ^ once} == {
        *("exactlyOnce", "zkPath", "zkDatabase", "ignorePartitionsWhenBatching")
    }
    assert {key for key, _ in plain ^ queue} == {
        "errors.tolerance",
        "errors.deadletterqueue.topic.name",
        "errors.deadletterqueue.topic.replication.factor",
        "errors.deadletterqueue.context.headers.enable",
    }


def test_the_connectors_that_are_watched_are_those_of_the_files() -> None:
    watched = Settings().kafka_connect_connectors.split(",")
    assert watched == [read_file(AGGREGATES).name, read_file(DEAD_LETTERS).name]


WANTED = ConnectorFile("one", {"topics": "a", "password": "${env:PASSWORD}", "port": "8443"})


def test_the_same_configuration_is_no_change_with_or_without_the_name_that_connect_adds() -> None:
    assert change(WANTED, WANTED.config) is None
    assert change(WANTED, WANTED.config | {"name": "one"}) is None


def test_a_change_names_every_key_and_no_secret_that_somebody_wrote_out() -> None:
    current = {"name": "one", "topics": "b", "password": "planted-5f1e", "tasks.max": "2"}
    assert str(change(WANTED, current)) == "\n    ".join(
        [
            "~ connector one",
            "~ password: *** -> ${env:PASSWORD}",
            "+ port=8443",
            "- tasks.max=2",
            "~ topics: b -> a",
        ]
    )
    assert str(change(WANTED, None)).splitlines()[0] == "+ create connector one"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "the form is"),
        ('{"config": {}}', "`name`"),
        ('{"name": "one", "config": {"port": 8443}}', "`str`"),
        ('{"name": "one", "config": {}, "topics": "a"}', "`topics`"),
        ('{"name": "one", "config": {"password": "planted-5f1e"}}', "password is written out"),
        ('{"name": "one", "config": {"sasl.jaas.config": "planted-5f1e"}}', "is written out"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_without_its_secret(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "connector.json"
    path.write_text(content)
    with pytest.raises(ConnectorFileError) as caught:
        read_file(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "planted" not in str(caught.value)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectStub]:
    with connect_stub() as server:
        monkeypatch.setenv("KAFKA_CONNECT_URL", server.settings.kafka_connect_url)
        yield server


def run(*arguments: str | Path, answer: str = "") -> Result:
    result = CliRunner().invoke(main, ["connect", *map(str, arguments)], input=answer)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def test_connectors_are_created_once_and_then_followed(stub: ConnectStub) -> None:
    both = (AGGREGATES, DEAD_LETTERS)
    shown = run("plan", *both)
    assert shown.exit_code == 2
    assert "+ create connector polygon_stock_aggregates\n    + connector.class=" in shown.stdout
    assert stub.configs == {}
    assert run("apply", *both, answer="n\n").exit_code == 1
    assert stub.configs == {}
    applied = run("apply", *both, "--yes")
    assert applied.stdout.endswith(
        "created connector polygon_stock_aggregates\ncreated connector polygon_dead_letters\n"
    )
    assert stub.configs["polygon_dead_letters"] == json.loads(DEAD_LETTERS.read_text())["config"]
    again = run("plan", *both)
    assert (again.exit_code, again.stdout) == (0, "no difference\n")
    updated = run("apply", EXACTLY_ONCE, "--yes")
    assert "+ exactlyOnce=true" in updated.stdout
    assert updated.stdout.endswith("updated connector polygon_stock_aggregates\n")


def test_two_files_of_one_connector_are_refused(stub: ConnectStub) -> None:
    refused = run("apply", AGGREGATES, EXACTLY_ONCE, "--yes")
    assert "several files declare connector polygon_stock_aggregates" in refused.stderr
    assert stub.configs == {}


def test_the_status_shows_each_task_and_fails_with_one(stub: ConnectStub) -> None:
    missing = run("status")
    assert (missing.exit_code, missing.stdout.splitlines()[0]) == (
        1,
        "connector polygon_stock_aggregates: MISSING",
    )
    run("apply", AGGREGATES, DEAD_LETTERS, "--yes")
    well = run("status")
    assert well.exit_code == 0
    assert "connector polygon_dead_letters: RUNNING on 10.0.0.7:8083" in well.stdout
    stub.states["polygon_stock_aggregates"] = failed()
    broken = run("status")
    assert broken.exit_code == 1
    assert "  task 0: FAILED on 10.0.0.7:8083: org.apache.kafka" in broken.stdout
    assert "Caused by: com.clickhouse.client.ClickHouseException: Code: 516" in broken.stdout


def test_what_connect_refuses_is_shown(stub: ConnectStub) -> None:
    stub.refusal = (400, '{"error_code": 400, "message": "hostname is required"}')
    refused = run("plan", AGGREGATES)
    assert refused.exit_code == 1
    assert "HTTP 400: hostname is required" in refused.stderr
