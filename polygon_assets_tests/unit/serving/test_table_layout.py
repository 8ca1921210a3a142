"""The migrations as they are written for a cluster and for the Cloud, read by ClickHouse itself.

No cluster runs here: chDB parses every statement and runs the Cloud's. How it takes replicated
tables is in processes/test_clickhouse_access.py.
"""

import re

import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.inspection import tables
from polygon_assets.inspection.table_layout import ServerFacts, problems
from polygon_assets.serving.migrate import Migration, applied, migrate, read_migrations
from polygon_assets.serving.table_layout import TableLayout, TableLayoutError
from polygon_assets.settings import Settings
from polygon_assets_tests.unit.serving.test_migrate import NOW, no_database

__all__ = ["no_database"]
CLOUD, REPLICATED = TableLayout("cloud"), TableLayout("replicated", "`x` \\")
STATEMENTS = [
    pytest.param(statement, id=f"{migration.name}-{number}")
    for migration in read_migrations()
    for number, statement in enumerate(migration.statements)
]
DEDUPLICATION = re.compile(r"replicated_deduplication_window = 0(, )?")


def formatted(client: Client, statement: str) -> str:
    """The statement as ClickHouse's own parser writes it."""
    answer = client.query("SELECT formatQuery({sql:String})", parameters={"sql": statement})
    return str(answer.result_rows[0][0])


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_cluster_gets_every_object_and_replicated_engines_and_nothing_else(
    session_client: Client, statement: str
) -> None:
    written = formatted(session_client, REPLICATED.write(statement))
    file = formatted(session_client, statement)
    assert ("ON CLUSTER" in written) == (not file.startswith("INSERT"))
    assert len(re.findall(r"= Replicated\w+MergeTree", written)) == file.count("MergeTree")
    back = DEDUPLICATION.sub("", written.replace(" ON CLUSTER `\\`x\\` \\\\`", ""))
    back = re.sub(r"\n\s*SETTINGS $", "", back.replace("= Replicated", "= "))
    assert back == file


def test_the_clouds_statements_make_the_same_database_without_a_deduplication_window(
    no_database: Client,
) -> None:
    migrate(no_database, NOW)
    single = engines(no_database)
    no_database.command("DROP DATABASE market SYNC")
    migrate(no_database, NOW, layout=CLOUD)
    cloud = engines(no_database)
    assert all(DEDUPLICATION.search(engine) for engine in cloud.values())
    assert {name: DEDUPLICATION.sub("", engine) for name, engine in cloud.items()} == single
    assert applied(no_database) == {file.name: file.sha256 for file in read_migrations()}


def engines(client: Client) -> dict[str, str]:
    rows = client.query(
        "SELECT name, engine_full FROM system.tables "
        "WHERE database = 'market' AND engine LIKE '%MergeTree'"
    ).result_rows
    return {str(name): str(engine) for name, engine in rows}


def test_a_single_server_gets_the_files_as_they_are() -> None:
    for migration in read_migrations():
        assert [TableLayout().write(text) for text in migration.statements] == migration.statements


class Recording:
    """A server without the database, which notes what it is told."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, dict[str, int]]] = []

    def command(self, statement: str, settings: dict[str, int]) -> None:
        self.commands.append((statement, settings))

    def query(self, _: str) -> "Recording":
        return self

    def insert(self, _: str, rows: list[list[object]], column_names: list[str]) -> None:
        assert column_names[:2] == ["name", "sha256"]
        self.recorded = rows[0][:2]

    @property
    def result_rows(self) -> list[tuple[str, str]]:
        return []


def test_migrating_a_cluster_waits_for_its_replicas_and_records_the_files_checksum() -> None:
    file = Migration("0001_first", "-- why\nCREATE DATABASE IF NOT EXISTS market;\n")
    server = Recording()
    migrate(server, NOW, [file], TableLayout("replicated", "one"))  # type: ignore[arg-type]
    [(statement, settings)] = server.commands
    assert statement == "-- why\nCREATE DATABASE IF NOT EXISTS market ON CLUSTER `one`"
    assert settings["distributed_ddl_task_timeout"] < 60
    assert server.recorded == [file.name, file.sha256]


def test_a_statement_of_an_unknown_form_is_refused_with_its_beginning() -> None:
    with pytest.raises(TableLayoutError, match=r"RENAME TABLE market\.a"):
        REPLICATED.write("-- why\nRENAME TABLE market.a TO market.b")


HEALTHY = ServerFacts(
    {1: 3}, {"shard": "1", "replica": "a"}, {"stock_newest": "ReplicatedReplacingMergeTree"}
)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (HEALTHY, []),
        (ServerFacts({}, HEALTHY.macros, {}), ["is not in system.clusters"]),
        (ServerFacts({1: 1, 2: 1}, HEALTHY.macros, {}), ["has 2 shards"]),
        (ServerFacts({1: 3}, {"shard": "1"}, {}), ["no macro replica"]),
        (
            ServerFacts({1: 3}, HEALTHY.macros, {"alerts": "ReplacingMergeTree"}),
            ["engine of alerts in database market is not Replicated"],
        ),
    ],
    ids=["healthy", "no cluster", "shards", "no macro", "engine"],
)
def test_doctor_names_what_a_replicated_layout_lacks(facts: ServerFacts, words: list[str]) -> None:
    chosen = Settings(clickhouse_tables="replicated", clickhouse_cluster="main")
    found = list(problems(chosen, facts))
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def test_doctor_wants_shared_tables_in_the_cloud_and_asks_nothing_else_there() -> None:
    chosen = Settings(clickhouse_tables="cloud")
    assert not list(problems(chosen, ServerFacts({}, {}, {"alerts": "SharedReplacingMergeTree"})))
    [line] = problems(chosen, ServerFacts({}, {}, {"alerts": "ReplacingMergeTree"}))
    assert "not Shared" in line


@pytest.mark.usefixtures("client")
def test_doctor_asks_the_server_about_its_cluster(settings: Settings) -> None:
    chosen = settings.model_copy(update={"clickhouse_tables": "replicated"})
    facts = tables.server_facts(chosen)
    assert facts.engines["stock_aggregates"] == "ReplacingMergeTree"
    assert any("system.clusters" in line for line in problems(chosen, facts))
