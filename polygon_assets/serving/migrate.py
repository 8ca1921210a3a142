"""Applies the numbered SQL files of `migrations/` to ClickHouse, each once, in order, and records name, checksum and time.

Only that belongs here: the schema itself is in the files. Each statement must be repeatable (IF NOT EXISTS): ClickHouse has no transaction
around a file, and two programs may migrate at the same time.
"""

import datetime as dt
import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

logger = logging.getLogger(__name__)
_DIRECTORY = resources.files("polygon_assets.serving") / "migrations"
_STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)
_UNKNOWN_TABLE, _UNKNOWN_DATABASE = 60, 81


class MigrationError(Exception):
    """The files and the database disagree about the past; the message names the file and the cure."""


@dataclass(frozen=True)
class Migration:
    """`name` is the file's, without `.sql`; `sha256` that of its bytes."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """What stands between semicolons at line ends."""
        return [text.strip() for text in _STATEMENT_END.split(self.sql) if text.strip()]


def read_migrations(directory: Traversable = _DIRECTORY) -> list[Migration]:
    """In order of their numbers."""
    files = sorted(
        (entry for entry in directory.iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return [Migration(file.name.removesuffix(".sql"), file.read_bytes().decode()) for file in files]


def migrate(
    client: Client, now: dt.datetime, migrations: Sequence[Migration] | None = None
) -> list[str]:
    """Bring the database up to date; returns the names applied, none when it already was.

    Raises MigrationError when an applied file was edited or is missing, and DatabaseError when a statement fails: what ran before it stays,
    and the next call starts again with the same file.
    """
    todo = pending(read_migrations() if migrations is None else migrations, applied(client))
    for migration in todo:
        try:
            for statement in migration.statements:
                client.command(statement)
        except DatabaseError:
            if migration.name not in applied(client):
                raise
            continue  # another program was faster, and a later file of its has changed what this one expects
        record = [migration.name, migration.sha256, now]
        client.insert(
            "market.schema_migrations", [record], column_names=["name", "sha256", "applied_at"]
        )
        logger.info("applied migration %s", migration.name)
    return [migration.name for migration in todo]


def applied(client: Client) -> dict[str, str]:
    """Checksum by name of what was applied; empty for a database that does not exist yet."""
    try:
        rows = client.query(
            "SELECT name, sha256 FROM market.schema_migrations FINAL ORDER BY name"
        ).result_rows
    except DatabaseError as error:
        if error.code in (_UNKNOWN_TABLE, _UNKNOWN_DATABASE):
            return {}
        raise
    return {str(name): str(sha256) for name, sha256 in rows}


def pending(migrations: Sequence[Migration], recorded: Mapping[str, str]) -> list[Migration]:
    """The files still to apply. Raises MigrationError when one that was applied is edited, missing, or has a new one before it."""
    names = [migration.name for migration in migrations]
    for name in recorded:
        if name not in names:
            raise MigrationError(
                f"{name}.sql was applied to this database but is missing here: restore the file or install the version with it"
            )
    for migration in migrations:
        _refuse_edited(migration, recorded.get(migration.name))
    todo = [migration for migration in migrations if migration.name not in recorded]
    newest = max(recorded, default="")
    if todo and todo[0].name < newest:
        raise MigrationError(
            f"{todo[0].name}.sql is new but numbered before {newest}, which was applied: give it the next free number"
        )
    return todo


def _refuse_edited(migration: Migration, recorded: str | None) -> None:
    if recorded not in (None, migration.sha256):
        raise MigrationError(
            f"{migration.name}.sql was edited after it was applied (recorded sha256 {recorded}, the file has {migration.sha256}): "
            "restore its text and put the change into a new numbered file"
        )
