"""The declared roles on the real engine: what a plan finds, and what each role may do.

The differences alone are in unit/provisioning/test_clickhouse_access.py.
"""

import datetime as dt
import re
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from polygon_assets.cli import main
from polygon_assets.clients import clickhouse
from polygon_assets.commands import clickhouse as clickhouse_command
from polygon_assets.inspection import tables
from polygon_assets.provisioning.clickhouse.declaration import Right, Role, SettingLimit, roles
from polygon_assets.provisioning.clickhouse.differences import (
    AccessState,
    ProfileState,
    QuotaState,
    RoleState,
    UserState,
    plan,
)
from polygon_assets.provisioning.clickhouse.server import apply, read
from polygon_assets.provisioning.object_plan import ObjectPlan, ProvisioningError
from polygon_assets.rebuild import day
from polygon_assets.serving import queries
from polygon_assets.serving.migrate import migrate, read_migrations
from polygon_assets.serving.table_layout import TableLayout
from polygon_assets.serving.version_retention import set_retention
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.clickhouse_access import (
    ADMINISTRATOR,
    PASSWORDS,
    declared,
    grants,
    only_default,
    serving,
)

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
NO_KEEPER = 225
OTHER = AccessState(
    {name: ProfileState("disk", {}) for name in ("polygon_writer", "polygon_reader")},
    {
        name: QuotaState("disk", ["ip_address"], None, ["theirs"])
        for name in ("polygon_writer", "polygon_reader")
    },
    {name: RoleState("disk") for name in ("polygon_write", "polygon_read")},
    {name: UserState("disk", has_password=False) for name in ("polygon_writer", "polygon_reader")},
)
"""Every object exists and differs, so that each is altered."""
VALUES = {
    "String": "A",
    "UInt32": "1",
    "UInt64": "1",
    "Date": "2026-01-02",
    "Int64": "1",
    "Bool": "1",
}


def by_name(plans: list[ObjectPlan]) -> dict[str, ObjectPlan]:
    return {item.name: item for item in plans}


def planned(settings: Settings, declaration: list[Role]) -> dict[str, ObjectPlan]:
    state, on_cluster = read(settings, declaration)
    return by_name(plan(declaration, state, on_cluster))


def test_the_engines_own_answers_compare_with_the_declaration(tmp_path: Path) -> None:
    declaration = roles(Settings(clickhouse_tables="replicated"))
    with serving(tmp_path, declared(declaration)) as settings:
        found = planned(settings, roles(settings))
        replicated = planned(settings, declaration)
        # Every right, setting and limit that the engine parsed compares as equal ...
        for role in declaration:
            assert replicated[f"settings profile {role.user}"].outcome == "same"
            assert replicated[f"rights of role {role.name}"].outcome == "same"
        # ... and what a file cannot declare is named, and left to its author.
        reader = found["role polygon_read"]
        assert (reader.outcome, reader.statements) == ("left", ())
        assert reader.details[0] == "settings profile: + polygon_reader"
        assert found["quota polygon_reader"].details[0] == "counts: + polygon_read"
        assert len(found["quota polygon_reader"].details) == 2
        assert "password: another" in found["user polygon_reader"].details[0]
        # A declaration that changed since shows each value from and to.
        changed = [
            replace(
                role,
                profile={**role.profile, "max_execution_time": SettingLimit("30", "90")},
                quota={**role.quota, "queries": 5},
                rights=[*role.rights, Right("OPTIMIZE", "market")],
            )
            for role in declaration
        ]
        other = planned(settings, changed)
        assert other["settings profile polygon_reader"].details[0] == (
            "max_execution_time: 60 (at most 300) -> 30 (at most 90)"
        )
        assert other["quota polygon_reader"].details[0] == "queries an hour: 360000 -> 5"
        assert other["rights of role polygon_read"].details[0] == "+ OPTIMIZE ON `market`.*"


def formatted(client: Client, statement: str) -> str:
    """The statement as ClickHouse's own parser writes it."""
    answer = client.query("SELECT formatQuery({sql:String})", parameters={"sql": statement})
    return str(answer.result_rows[0][0])


def test_a_server_without_them_gets_every_object_as_far_as_its_engine_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, only_default(ADMINISTRATOR)) as settings:
        monkeypatch.setattr(clickhouse_command, "read_settings", lambda: settings)
        answer = CliRunner().invoke(main, ["clickhouse", "plan"])
        assert answer.exit_code == 2
        assert "+ create settings profile polygon_reader: readonly 2, max_exec" in answer.stdout
        assert "+ create user polygon_writer: password of CLICKHOUSE_WRITER_PA" in answer.stdout
        assert "~ rights of role polygon_read: + SELECT ON `market`.*" in answer.stdout
        declaration = roles(settings)
        with closing(clickhouse.connect(settings)) as client:
            for state in (AccessState(), OTHER):
                for item in plan(declaration, state, " ON CLUSTER `main`"):
                    assert item.has_changes
                    for statement in item.statements:
                        assert "ON CLUSTER main" in formatted(client, statement.sql)
        for item in planned(settings, declaration).values():
            # chDB parses and checks each statement, and lacks only a place to store the object.
            with pytest.raises(ProvisioningError) as refusal:
                list(apply(settings, [item]))
            assert any(
                words in str(refusal.value)
                for words in ("no writeable access storage", "There is no role", "There is no sett")
            ), refusal.value
        applied = CliRunner().invoke(main, ["clickhouse", "apply", "--yes"])
        assert applied.exit_code == 1
        assert "user_directories" in applied.output
        assert not any(secret in answer.output + applied.output for secret in PASSWORDS.values())


def test_a_user_without_access_management_learns_what_is_missing(tmp_path: Path) -> None:
    with (
        serving(tmp_path, only_default("")) as settings,
        pytest.raises(ProvisioningError, match=r"user default: .*access_management"),
    ):
        read(settings, roles(settings))


def run_writer(settings: Settings, client: Client) -> None:
    """What the programs, `migrate`, `rebuild` and Dagster ask of the writer."""
    migrate(client, NOW)
    assert set_retention(client, 30)
    assert set_retention(client, 0)
    client.command(
        "INSERT INTO market.stock_aggregates_ingest (symbol, start_timestamp, end_timestamp, "
        "received_at) VALUES ('A', 1767346200000, 1767346201000, 1767346201000000)"
    )
    assert client.command("SELECT count() FROM market.stock_versions") == 1
    parameters = {"table": "rebuild_test"}
    for name in ("create_scratch", "drop_scratch"):
        client.command(day._load(name), parameters=parameters)
    assert tables.free_bytes(settings)
    assert tables.tables(settings)["market.stock_aggregates"].rows == 1
    assert tables.server_facts(settings).engines


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(DatabaseError) as refusal:
        action()
    return str(refusal.value)


def parameters(sql: str) -> dict[str, object]:
    """Some value for each parameter of a query."""
    found = re.findall(r"\{(\w+):([^}]+)\}", sql)
    return {
        name: NOW if kind.startswith("DateTime64") else [] if "Array" in kind else VALUES[kind]
        for name, kind in found
    }


def test_each_role_can_do_its_work_and_nothing_else(tmp_path: Path) -> None:
    writer, reader = roles(Settings())
    users = only_default(grants(writer.rights), dict(writer.profile))
    with serving(tmp_path, users) as settings, closing(clickhouse.connect(settings)) as client:
        run_writer(settings, client)
        assert "privileges" in refused(lambda: client.command("DROP DATABASE market"))
        assert "privileges" in refused(lambda: client.command("TRUNCATE TABLE market.alerts"))
        assert "privileges" in refused(lambda: client.command("DROP TABLE market.alerts"))
        assert "privileges" in refused(lambda: client.command("CREATE DATABASE other"))
    users = only_default(grants(reader.rights), dict(reader.profile))
    with serving(tmp_path, users) as settings, closing(clickhouse.connect(settings)) as client:
        for name in sorted(set(queries.names()) - {"disks", "cluster_shards", "macros"}):
            sql = queries.load(name)
            if not re.search(r"^INSERT", sql, re.MULTILINE):
                client.query(sql, parameters=parameters(sql), settings={"max_execution_time": 5})
        too_long = {"max_execution_time": 4000}
        assert "max_execution_time" in refused(lambda: client.query("SELECT 1", settings=too_long))
        insert = "INSERT INTO market.subscription_sets (version) VALUES ('1')"
        assert refused(lambda: client.command(insert))


def test_the_engine_refuses_a_replicated_table_only_for_want_of_a_keeper(tmp_path: Path) -> None:
    macros = "<macros><shard>1</shard><replica>a</replica></macros>"
    layout = TableLayout("replicated", "main")
    with (
        serving(tmp_path, only_default(""), macros) as settings,
        closing(clickhouse.connect(settings)) as client,
    ):
        client.command("CREATE DATABASE market")
        statements = [text for file in read_migrations() for text in file.statements]
        tables_ = [text for text in statements if re.search(r"^\) ENGINE = \w*Merge", text, re.M)]
        assert len(tables_) > 10
        for text in tables_:
            # ON CLUSTER gives each replica the table's UUID, which is part of its path.
            written, count = re.subn(
                r"CREATE TABLE IF NOT EXISTS ([\w.]+) ON CLUSTER `main`",
                rf"CREATE TABLE IF NOT EXISTS \1 UUID '{uuid.uuid4()}'",
                layout.write(text),
            )
            assert count == 1
            with pytest.raises(DatabaseError) as refusal:
                client.command(written)
            assert refusal.value.code == NO_KEEPER
