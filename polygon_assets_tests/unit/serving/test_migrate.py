"""Migrations: applied once, recorded with a checksum, refused when files were edited or lost."""

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from polygon_assets.cli import main
from polygon_assets.clients import clickhouse
from polygon_assets.commands import migrate as migrate_command
from polygon_assets.inspection import InspectionError, doctor
from polygon_assets.serving.migrate import (
    Migration,
    MigrationError,
    applied,
    migrate,
    pending,
    read_migrations,
)
from polygon_assets.settings import Settings

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
FIRST, SECOND = (
    Migration("0001_first", "SELECT 1;"),
    Migration("0002_second", "SELECT 2;\n-- a remark\nSELECT 3;\n"),
)


@pytest.fixture
def no_database(session_client: Client) -> Iterator[Client]:
    session_client.command("DROP DATABASE market SYNC")
    yield session_client
    session_client.command("DROP DATABASE IF EXISTS market SYNC")
    migrate(session_client, NOW)


def test_an_up_to_date_database_is_left_alone(client: Client) -> None:
    assert migrate(client, NOW) == []


def test_every_file_is_recorded_with_its_checksum_and_time(no_database: Client) -> None:
    names = migrate(no_database, NOW)
    assert names == [migration.name for migration in read_migrations()]
    assert applied(no_database) == {
        migration.name: migration.sha256 for migration in read_migrations()
    }
    assert no_database.query(
        "SELECT DISTINCT applied_at FROM market.schema_migrations", tz_mode="aware"
    ).result_rows == [(NOW,)]


def test_two_programs_may_migrate_at_once(no_database: Client, settings: Settings) -> None:
    clients = [clickhouse.connect(settings) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda client: migrate(client, NOW), clients))
    assert applied(no_database) == {
        migration.name: migration.sha256 for migration in read_migrations()
    }
    assert no_database.command("EXISTS TABLE market.ohlcv_1m_by_day") == 1


@pytest.mark.usefixtures("client")
def test_the_command_applies_a_changed_retention_after_the_files(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days, expected in ((30, "keeps versions 30 days"), (0, "for ever"), (90, "90 days")):
        changed = settings.model_copy(update={"stock_versions_days": days})
        monkeypatch.setattr(migrate_command, "read_settings", lambda changed=changed: changed)
        answers = [CliRunner().invoke(main, ["migrate"]).stdout for _ in range(2)]
        assert expected in answers[0]
        assert "stock_versions" not in answers[1]


def test_the_doctor_names_the_files_that_are_not_applied_and_the_command(
    no_database: Client, settings: Settings
) -> None:
    files = read_migrations()
    migrate(no_database, NOW, files[:-2])
    with pytest.raises(InspectionError) as caught:
        doctor._tables(settings)
    names = ", ".join(file.name for file in files[-2:])
    assert f"2 migration(s) are not applied: {names}; `polygon-assets migrate`" in str(caught.value)
    migrate(no_database, NOW)
    assert doctor._tables(settings).endswith("tables in database market, up to date")


def test_the_doctor_names_a_file_that_was_edited_after_it_was_applied(
    no_database: Client, settings: Settings
) -> None:
    migrate(no_database, NOW)
    no_database.command(
        "INSERT INTO market.schema_migrations (name, sha256, applied_at) VALUES "
        "('0002_stock_aggregates', 'other', now() + 60)"
    )
    [clickhouse] = [one for one in doctor._stream_findings(settings) if one.name == "ClickHouse"]
    assert not clickhouse.ok
    assert "0002_stock_aggregates.sql was edited after it was applied" in clickhouse.message


def test_a_failed_file_is_not_recorded_and_runs_again(no_database: Client) -> None:
    broken = [*read_migrations(), Migration("0099_broken", "SELECT nonsense FROM nowhere;")]
    with pytest.raises(Exception, match="nowhere"):
        migrate(no_database, NOW, broken)
    repaired = [*read_migrations(), Migration("0099_broken", "SELECT 1;")]
    assert migrate(no_database, NOW, repaired) == ["0099_broken"]


def test_an_edited_file_is_refused_with_both_checksums_and_the_cure() -> None:
    with pytest.raises(MigrationError) as refusal:
        pending([FIRST, SECOND], {FIRST.name: "0" * 64})
    for part in ("0001_first.sql", "0" * 64, FIRST.sha256, "new numbered file"):
        assert part in str(refusal.value)


def test_an_applied_file_that_is_missing_is_refused() -> None:
    with pytest.raises(MigrationError, match=r"0001_first\.sql was applied .* missing"):
        pending([SECOND], {FIRST.name: FIRST.sha256, SECOND.name: SECOND.sha256})


def test_a_new_file_before_an_applied_one_is_refused() -> None:
    with pytest.raises(
        MigrationError, match=r"0001_first\.sql is new but numbered before 0002_second"
    ):
        pending([FIRST, SECOND], {SECOND.name: SECOND.sha256})


def test_files_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("0010_c.sql", "0002_b.sql", "0001_a.sql", "notes.txt"):
        (tmp_path / name).write_text("SELECT 1;")
    assert [migration.name for migration in read_migrations(tmp_path)] == [
        "0001_a",
        "0002_b",
        "0010_c",
    ]


def test_statements_end_with_a_semicolon_at_a_line_end() -> None:
    migration = Migration(
        "0001", "-- remark; with a semicolon inside\nSELECT ';';\n\nSELECT 2;  \n"
    )
    assert migration.statements == ["-- remark; with a semicolon inside\nSELECT ';'", "SELECT 2"]


def test_every_file_can_be_repeated_before_the_next(no_database: Client) -> None:
    for migration in read_migrations():
        for statement in [*migration.statements, *migration.statements]:
            no_database.command(statement)


@pytest.mark.parametrize("behind", [1, 2])
def test_a_file_that_another_program_applied_meanwhile_is_no_failure(
    client: Client, behind: int
) -> None:
    """Noticed before the file's first statement, or by the failure of one."""
    overtaken = read_migrations()[2]
    with pytest.raises(DatabaseError):  # a later file made a view of the table that it fills
        client.command(overtaken.statements[-1])

    class Behind:
        """A client whose first queries see the database as it was before the other program."""

        def __init__(self) -> None:
            self.queries = 0

        def __getattr__(self, name: str) -> object:
            return getattr(client, name)

        def query(self, sql: str) -> object:
            self.queries += 1
            return client.query(f"{sql} LIMIT 2" if self.queries <= behind else sql)

    assert migrate(cast(Client, Behind()), NOW, read_migrations()[:3]) == []
