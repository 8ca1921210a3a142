"""What the project needs of a Snowflake account: names, limits, roles and their rights.

Change a right, a limit or a name here; how they are compared belongs to `differences`. Every name
begins with that of the database, so that two environments fit into one account.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polygon_assets.provisioning.snowflake.public_keys import PublicKey
from polygon_assets.settings import Settings

RAW, MARTS = "RAW", "MARTS"
ROLES = ("transformer", "loader", "reader")
"""The transformer inherits the loader, so it is created first."""
_USERS = {"loader": "AIRBYTE", "transformer": "DAGSTER", "reader": "DASHBOARDS"}
NOTIFY_PERCENT, SUSPEND_PERCENT, SUSPEND_NOW_PERCENT = 80, 100, 110
"""Of the credit quota: a mail to the administrators; no new statement; running ones are ended."""


@dataclass(frozen=True, order=True)
class Right:
    """A privilege on an object, or on every future one of a kind in a schema."""

    privilege: str
    kind: str
    """WAREHOUSE, DATABASE or SCHEMA; TABLE or VIEW for those of the schema `name`."""
    name: str
    future: bool = False


@dataclass(frozen=True)
class Role:
    """A role, the roles that inherit it, its rights, and its service user with a key or none."""

    name: str
    inherited_by: Sequence[str]
    rights: Sequence[Right]
    reads: Sequence[str]
    """Schemas of which the role reads every table and view."""
    user: str
    key: PublicKey | None


@dataclass(frozen=True)
class Declaration:
    """What the account should have."""

    database: str
    schemas: Sequence[str]
    monitor: str
    credit_quota: int
    warehouse: str
    warehouse_size: str
    auto_suspend_seconds: int
    roles: Sequence[Role]
    owners: Mapping[str, str]
    """By schema, the role that must own its tables to load and replace them."""


def declare(settings: Settings, keys: Mapping[str, PublicKey]) -> Declaration:
    """The declaration for the settings; `keys` by role, as in ROLES."""
    database = settings.snowflake_database.upper()
    warehouse = (settings.snowflake_warehouse or f"{database}_WH").upper()
    use = [Right("USAGE", "WAREHOUSE", warehouse), Right("USAGE", "DATABASE", database)]
    rights = {
        "loader": [*use, *_loading(database)],
        "transformer": [*use, *_creating(f"{database}.{MARTS}")],
        "reader": [*use, *_reading(f"{database}.{MARTS}")],
    }
    transformer = f"{database}_TRANSFORMER"
    return Declaration(
        database,
        (RAW, MARTS),
        f"{database}_MONITOR",
        settings.snowflake_credit_quota,
        warehouse,
        settings.snowflake_warehouse_size,
        settings.snowflake_auto_suspend_seconds,
        [
            Role(
                f"{database}_{role.upper()}",
                # Dagster judges, restores and extends the tables that Airbyte loads.
                ("SYSADMIN", transformer) if role == "loader" else ("SYSADMIN",),
                rights[role],
                (f"{database}.{MARTS}",) if role == "reader" else (),
                f"{database}_{_USERS[role]}",
                keys.get(role),
            )
            for role in ROLES
        ],
        {f"{database}.{RAW}": f"{database}_LOADER", f"{database}.{MARTS}": transformer},
    )


def _loading(database: str) -> list[Right]:
    """RAW's tables belong to the loader, whoever creates them; the transformer inherits this.

    Airbyte's destination creates a schema for its own records.
    """
    schema = f"{database}.{RAW}"
    return [
        Right("CREATE SCHEMA", "DATABASE", database),
        *_creating(schema),
        Right("OWNERSHIP", "TABLE", schema, future=True),
    ]


def _creating(schema: str) -> list[Right]:
    privileges = ("USAGE", "CREATE TABLE", "CREATE VIEW", "CREATE STAGE", "CREATE FILE FORMAT")
    return [Right(privilege, "SCHEMA", schema) for privilege in privileges]


def _reading(schema: str) -> list[Right]:
    future = [Right("SELECT", kind, schema, future=True) for kind in ("TABLE", "VIEW")]
    return [Right("USAGE", "SCHEMA", schema), *future]
