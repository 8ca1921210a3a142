"""Applies the numbered files of `migrations/` to ClickHouse, each once, and records checksums.

Add a schema change as a new file in `migrations/`; queries belong to `serving.queries`. In
production the service `migrate` of deploy/compose.yaml, or a person as deploy/aws/README.md says,
runs `polygon-assets migrate`; the embedded stack applies them at each start. Each statement must be
repeatable (IF NOT EXISTS), because ClickHouse has no transaction around a file and two programs may
migrate at the same time. How a statement is written for a cluster belongs to `table_layout`.
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

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.serving.table_layout import TableLayout

logger = logging.getLogger(__name__)
_DIRECTORY = resources.files("polygon_assets.serving") / "migrations"
_STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)
_UNKNOWN_TABLE, _UNKNOWN_DATABASE = 60, 81
_SINGLE_SERVER = TableLayout()


class MigrationError(PolygonAssetsError):
    """The files differ from the applied migrations; the message names the file and the cure."""


@dataclass(frozen=True)
class Migration:
    """One migration file: its name without `.sql`, and its text."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """The checksum of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The file's statements; a semicolon at a line's end terminates one."""
        return [text.strip() for text in _STATEMENT_END.split(self.sql) if text.strip()]


def read_migrations(directory: Traversable = _DIRECTORY) -> list[Migration]:
    """The migrations of a directory, in the order of their numbers."""
    files = sorted(
        (entry for entry in directory.iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return [Migration(file.name.removesuffix(".sql"), file.read_bytes().decode()) for file in files]


def migrate(
    client: Client,
    now: dt.datetime,
    migrations: Sequence[Migration] | None = None,
    layout: TableLayout = _SINGLE_SERVER,
) -> list[str]:
    """Bring the database up to date and return the names of the applied migrations, often none.

    Raises MigrationError when an applied file was edited or is missing, TableLayoutError when one
    cannot be written for a cluster, and DatabaseError when a statement fails. The statements before
    the failed one stay applied, and the next call starts again with the same file.
    """
    todo = pending(read_migrations() if migrations is None else migrations, applied(client))
    names = list[str]()
    for migration in todo:
        # Another program may have applied it meanwhile; what it drops must not be dropped again.
        if migration.name in applied(client):
            continue
        try:
            for statement in migration.statements:
                client.command(layout.write(statement), settings=layout.query_settings)
        except DatabaseError:
            if migration.name not in applied(client):
                raise
            # Another program applied this file meanwhile, and a later one: the schema has changed.
            continue
        record = [migration.name, migration.sha256, now]
        client.insert(
            "market.schema_migrations", [record], column_names=["name", "sha256", "applied_at"]
        )
        logger.info("applied migration %s", migration.name)
        names.append(migration.name)
    return names


def applied(client: Client) -> dict[str, str]:
    """The checksum of each applied migration; empty for a database that does not exist yet."""
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
    """The migrations still to apply.

    Raises MigrationError when an applied file was edited or is missing, or when a new file has a
    lower number than an applied one.
    """
    names = [migration.name for migration in migrations]
    for name in recorded:
        if name not in names:
            raise MigrationError(
                f"{name}.sql was applied to this database but is missing here: "
                "restore the file, or install the version of polygon_assets that has it"
            )
    for migration in migrations:
        _refuse_edited(migration, recorded.get(migration.name))
    todo = [migration for migration in migrations if migration.name not in recorded]
    newest = max(recorded, default="")
    if todo and todo[0].name < newest:
        raise MigrationError(
            f"{todo[0].name}.sql is new but numbered before {newest}, which was applied: "
            "give it the next free number"
        )
    return todo


def _refuse_edited(migration: Migration, recorded: str | None) -> None:
    if recorded not in (None, migration.sha256):
        raise MigrationError(
            f"{migration.name}.sql was edited after it was applied (recorded sha256 {recorded}, "
            f"the file has {migration.sha256}): "
            "restore its text and put the change into a new numbered file"
        )
