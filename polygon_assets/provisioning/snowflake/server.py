"""Reads and changes a Snowflake account: SHOW and DESCRIBE answers, and the plans' statements.

Add a question to the account here; what to change is `differences`'. SHOW's patterns ignore case
and treat `_` as any character, so each answer is searched for the exact name.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from polygon_assets.clients import snowflake
from polygon_assets.clients.snowflake import SnowflakeError
from polygon_assets.provisioning.object_plan import ObjectPlan, ProvisioningError, Statement
from polygon_assets.provisioning.snowflake.declaration import Declaration, Right
from polygon_assets.provisioning.snowflake.differences import (
    KEY_SLOTS,
    AccountState,
    MonitorState,
    Relation,
    SnowflakeState,
    UserState,
    WarehouseState,
    identifier,
    path_of,
    text,
)
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor
    from snowflake.connector.errors import Error

_UNKNOWN_STATEMENT = 1003
"""The embedded server's answer to statements about accounts; Snowflake knows them all."""
_INSUFFICIENT_PRIVILEGES = 3001
Row = Mapping[str, Any]


def read(settings: Settings, role: str, declared: Declaration) -> SnowflakeState:
    """What the account has of the declared names, as `role` sees it. Raises ProvisioningError."""
    with _cursor(settings, role) as cursor:
        database = _named(_show(cursor, "DATABASES", declared.database), declared.database)
        in_database = f"IN DATABASE {identifier(declared.database)}"
        schemas = {
            str(row["name"])
            for row in (_rows(cursor, f"SHOW SCHEMAS {in_database}") if database else ())
        }
        paths = [f"{declared.database}.{name}" for name in declared.schemas if name in schemas]
        return SnowflakeState(
            database is not None,
            schemas,
            {path: list(_relations(cursor, path)) for path in paths},
            _account(cursor, declared),
        )


def apply(settings: Settings, role: str, plans: Sequence[ObjectPlan]) -> Iterator[ObjectPlan]:
    """Run the statements of the plans one after the other, and yield each plan when it is done.

    Raises ProvisioningError; what was done before stays, and a repetition continues.
    """
    with _cursor(settings, role) as cursor:
        for item in (item for item in plans if item.has_changes):
            for statement in item.statements:
                _execute(cursor, item.name, statement)
            yield item


@contextmanager
def _cursor(settings: Settings, role: str) -> Iterator["SnowflakeCursor"]:
    """A session of the role without a warehouse: none of the statements computes."""
    from snowflake.connector.errors import Error

    # The settings' own role and warehouse may be those that are about to be created.
    session = settings.model_copy(update={"snowflake_role": role, "snowflake_warehouse": ""})
    try:
        with closing(snowflake.connect(session)) as connection, connection.cursor() as cursor:
            yield cursor
    except SnowflakeError as error:
        raise ProvisioningError(f"{error} (role {role} of `--role`)") from error
    except Error as error:
        raise ProvisioningError(f"Snowflake: {settings.conceal(_words(error))}") from error


def _execute(cursor: "SnowflakeCursor", name: str, statement: Statement) -> None:
    from snowflake.connector.errors import Error

    try:
        cursor.execute(statement.sql)
    except Error as error:
        raise ProvisioningError(f"{name}: {statement.conceal(_words(error))}") from None


def _words(error: "Error") -> str:
    words = str(error.msg or error).splitlines()
    cure = (
        "; use `--role` with a role that may manage the account, such as ACCOUNTADMIN"
        if error.errno == _INSUFFICIENT_PRIVILEGES
        else ""
    )
    return " ".join(words) + cure


def _rows(cursor: "SnowflakeCursor", sql: str) -> list[Row]:
    """The rows of an answer by lower-case column."""
    cursor.execute(sql)
    columns = [column.name.lower() for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _show(cursor: "SnowflakeCursor", kind: str, name: str) -> list[Row]:
    return _rows(cursor, f"SHOW {kind} LIKE {text(name)}")


def _named(rows: Sequence[Row], name: str) -> Row | None:
    return next((row for row in rows if row["name"] == name), None)


def _relations(cursor: "SnowflakeCursor", schema: str) -> Iterator[Relation]:
    """The tables and views of a schema, with their whole names."""
    for kind in ("TABLE", "VIEW"):
        for row in _rows(cursor, f"SHOW {kind}S IN SCHEMA {path_of(schema)}"):
            yield Relation(kind, f"{schema}.{row['name']}", str(row["owner"]))


def _account(cursor: "SnowflakeCursor", declared: Declaration) -> AccountState | None:
    """None where the server has no roles; a role that may not see an object sees none."""
    from snowflake.connector.errors import ProgrammingError

    try:
        names = [role.name for role in declared.roles]
        existing = [name for name in names if _named(_show(cursor, "ROLES", name), name)]
    except ProgrammingError as error:
        if error.errno != _UNKNOWN_STATEMENT:
            raise
        return None
    monitor = _named(_show(cursor, "RESOURCE MONITORS", declared.monitor), declared.monitor)
    warehouse = _named(_show(cursor, "WAREHOUSES", declared.warehouse), declared.warehouse)
    users = [role.user for role in declared.roles]
    return AccountState(
        _monitor(monitor) if monitor else None,
        _warehouse(warehouse) if warehouse else None,
        {name: _holders(cursor, name) for name in existing},
        {name: _rights(cursor, name) for name in existing},
        {
            user: _user(_rows(cursor, f"DESCRIBE USER {identifier(user)}"))
            for user in users
            if _named(_show(cursor, "USERS", user), user)
        },
    )


def _monitor(row: Row) -> MonitorState:
    notify = [int(part) for part in str(row["notify_at"] or "").replace("%", "").split(",") if part]
    suspend, suspend_now = (
        int(str(row[column]).rstrip("%")) if row[column] else None
        for column in ("suspend_at", "suspend_immediately_at")
    )
    return MonitorState(
        float(row["credit_quota"] or 0),
        str(row["frequency"] or "not set"),
        notify,
        suspend,
        suspend_now,
    )


def _warehouse(row: Row) -> WarehouseState:
    return WarehouseState(
        str(row["size"]).upper().replace("-", ""),
        int(row["auto_suspend"] or 0),
        str(row["auto_resume"]).lower() == "true",
        str(row["resource_monitor"]),
    )


def _holders(cursor: "SnowflakeCursor", role: str) -> set[str]:
    """The roles and users that a role was granted to."""
    rows = _rows(cursor, f"SHOW GRANTS OF ROLE {identifier(role)}")
    return {str(row["grantee_name"]) for row in rows}


def _rights(cursor: "SnowflakeCursor", role: str) -> set[Right]:
    """The rights of a role; a future one has the name of its schema."""
    granted = _rows(cursor, f"SHOW GRANTS TO ROLE {identifier(role)}")
    future = _rows(cursor, f"SHOW FUTURE GRANTS TO ROLE {identifier(role)}")
    return {
        Right(str(row["privilege"]), str(row["granted_on"]), _unquoted(row["name"]))
        for row in granted
    } | {
        # The name is DATABASE.SCHEMA.<TABLE>.
        Right(str(row["privilege"]), str(row["grant_on"]), _unquoted(row["name"], 2), future=True)
        for row in future
    }


def _unquoted(name: str, parts: int | None = None) -> str:
    """The name, or its first parts, without the quotes that some names are shown in."""
    return ".".join(name.replace('"', "").split(".")[:parts])


def _user(rows: Sequence[Row]) -> UserState:
    """The answer of DESCRIBE USER has a row for each property; null is the text `null`."""
    values: dict[str, str] = {}
    for row in rows:
        # The column is called `value` in answers and `property_value` in Snowflake's documentation.
        value = row.get("value", row.get("property_value"))
        if value not in (None, "", "null"):
            values[str(row["property"])] = str(value)
    fingerprints = {slot: values[f"{slot}_FP"] for slot in KEY_SLOTS if f"{slot}_FP" in values}
    return UserState(
        values.get("TYPE", "PERSON"),
        values.get("DEFAULT_ROLE", ""),
        values.get("DEFAULT_WAREHOUSE", ""),
        fingerprints,
    )
