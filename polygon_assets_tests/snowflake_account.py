"""A Snowflake account that carries out the administrator's statements and answers SHOW.

The answers have the columns that Snowflake's documentation lists, as far as the project reads them,
and its ways to write a value: `X-Small`, `80%,90%`, the text `null`. Any statement of another form
is an error, so a test notices a form that was never compared with the documentation.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

from snowflake.connector.errors import ProgrammingError

N = r'"([A-Z_0-9]+)"'
SIZES = {"XSMALL": "X-Small", "SMALL": "Small", "MEDIUM": "Medium", "LARGE": "Large"}
SYNTAX_ERROR = 1003
Row = Mapping[str, Any]


@dataclass
class Account:
    """The account's objects; each method carries out one form of statement."""

    databases: dict[str, list[str]] = field(default_factory=dict)
    """Schemas by database."""
    relations: list[dict[str, str]] = field(default_factory=list)
    """Tables and views: kind, database, schema, name, owner."""
    monitors: dict[str, dict[str, Any]] = field(default_factory=dict)
    warehouses: dict[str, dict[str, str]] = field(default_factory=dict)
    roles: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: {"SYSADMIN": []})
    """By role the (USER or ROLE, name) that have it."""
    grants: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Role, privilege, kind, name."""
    future: list[tuple[str, str, str, str]] = field(default_factory=list)
    users: dict[str, dict[str, str]] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    """Those that change something."""
    role: str = ""
    """The role of the newest session."""
    forbidden: str = ""
    """Statements that begin so are refused."""

    def connect(self, settings: Any, *_: Any, **__: Any) -> "Connection":
        self.role = settings.snowflake_role
        assert settings.snowflake_warehouse == ""
        return Connection(self)

    def run(self, sql: str) -> list[Row]:
        """Run a statement as the server does."""
        if self.forbidden and sql.startswith(self.forbidden):
            raise ProgrammingError(msg=f"Insufficient privileges: {sql}", errno=3001)
        for form, action in self._shows.items():
            if match := re.fullmatch(form, sql):
                return list(action(self, *match.groups()))
        for form, change in self._changes.items():
            if match := re.fullmatch(form, sql):
                self.statements.append(sql)
                change(self, *match.groups())
                return [{"status": "done"}]
        raise ProgrammingError(msg=f"syntax error in {sql}", errno=SYNTAX_ERROR)

    def _show_databases(self, name: str) -> Iterator[Row]:
        for database in self.databases:
            if re.fullmatch(name.replace("_", "."), database):
                yield {"created_on": "", "name": database, "owner": "SYSADMIN", "kind": "STANDARD"}

    def _show_schemas(self, database: str) -> Iterator[Row]:
        for schema in self.databases[database]:
            yield {"created_on": "", "name": schema, "database_name": database, "owner": "X"}

    def _show_relations(self, kind: str, database: str, schema: str) -> Iterator[Row]:
        for one in self.relations:
            if (one["kind"], one["database"], one["schema"]) == (kind, database, schema):
                yield {"created_on": "", "name": one["name"], "owner": one["owner"]}

    def _show_monitors(self, name: str) -> Iterator[Row]:
        for monitor, values in self.monitors.items():
            if re.fullmatch(name.replace("_", "."), monitor):
                yield {"name": monitor, "level": "WAREHOUSE", **values}

    def _show_warehouses(self, name: str) -> Iterator[Row]:
        for warehouse, values in self.warehouses.items():
            if re.fullmatch(name.replace("_", "."), warehouse):
                yield {
                    "name": warehouse,
                    "state": "SUSPENDED",
                    "size": SIZES[values["WAREHOUSE_SIZE"]],
                    "auto_suspend": int(values["AUTO_SUSPEND"]),
                    "auto_resume": values["AUTO_RESUME"].lower(),
                    "resource_monitor": values.get("RESOURCE_MONITOR", "null").strip('"'),
                }

    def _show_roles(self, name: str) -> Iterator[Row]:
        for role in self.roles:
            if re.fullmatch(name.replace("_", "."), role):
                yield {"created_on": "", "name": role, "owner": "USERADMIN"}

    def _show_users(self, name: str) -> Iterator[Row]:
        for user in self.users:
            if re.fullmatch(name.replace("_", "."), user):
                yield {"name": user, "created_on": "", "has_rsa_public_key": "true"}

    def _describe_user(self, name: str) -> Iterator[Row]:
        values = {"NAME": name, "RSA_PUBLIC_KEY_FP": "null", "RSA_PUBLIC_KEY_2_FP": "null"}
        for key, value in self.users[name].items():
            values[key] = value
            if key.startswith("RSA_PUBLIC_KEY"):
                digest = hashlib.sha256(base64.b64decode(value)).digest()
                values[f"{key}_FP"] = f"SHA256:{base64.b64encode(digest).decode()}"
        for key, value in values.items():
            yield {"property": key, "value": value, "default": "null", "description": ""}

    def _show_grants_of(self, role: str) -> Iterator[Row]:
        for kind, name in self.roles[role]:
            yield {"created_on": "", "role": role, "granted_to": kind, "grantee_name": name}

    def _show_grants_to(self, role: str) -> Iterator[Row]:
        for grantee, privilege, kind, name in self.grants:
            if grantee == role:
                yield {"privilege": privilege, "granted_on": kind, "name": name}

    def _show_future_grants(self, role: str) -> Iterator[Row]:
        for grantee, privilege, kind, schema in self.future:
            if grantee == role:
                name = f"{schema}.<{kind}>"
                yield {"privilege": privilege, "grant_on": kind, "name": name, "grant_to": "ROLE"}

    _shows: ClassVar[Mapping[str, Callable[..., Iterator[Row]]]] = {
        "SHOW DATABASES LIKE '(.+)'": _show_databases,
        f"SHOW SCHEMAS IN DATABASE {N}": _show_schemas,
        rf"SHOW (TABLE|VIEW)S IN SCHEMA {N}\.{N}": _show_relations,
        "SHOW RESOURCE MONITORS LIKE '(.+)'": _show_monitors,
        "SHOW WAREHOUSES LIKE '(.+)'": _show_warehouses,
        "SHOW ROLES LIKE '(.+)'": _show_roles,
        "SHOW USERS LIKE '(.+)'": _show_users,
        f"DESCRIBE USER {N}": _describe_user,
        f"SHOW GRANTS OF ROLE {N}": _show_grants_of,
        f"SHOW GRANTS TO ROLE {N}": _show_grants_to,
        f"SHOW FUTURE GRANTS TO ROLE {N}": _show_future_grants,
    }

    def _create_database(self, name: str) -> None:
        self.databases.setdefault(name, ["INFORMATION_SCHEMA", "PUBLIC"])

    def _create_schema(self, database: str, name: str) -> None:
        if name not in self.databases[database]:
            self.databases[database].append(name)

    def _monitor(self, name: str, clauses: str) -> None:
        assert re.fullmatch(
            r"CREDIT_QUOTA = \d+( FREQUENCY = \w+ START_TIMESTAMP = IMMEDIATELY)? TRIGGERS"
            r"( ON \d+ PERCENT DO (NOTIFY|SUSPEND|SUSPEND_IMMEDIATE))+",
            clauses,
        )
        values = self.monitors.setdefault(name, {"frequency": None})
        triggers = re.findall(r"ON (\d+) PERCENT DO (\w+)", clauses)
        for column, action in (
            ("notify_at", "NOTIFY"),
            ("suspend_at", "SUSPEND"),
            ("suspend_immediately_at", "SUSPEND_IMMEDIATE"),
        ):
            percents = [f"{percent}%" for percent, what in triggers if what == action]
            values[column] = ",".join(percents) or None
        values["credit_quota"] = f"{float(re.findall(r'CREDIT_QUOTA = (.+?) ', clauses)[0]):.2f}"
        if frequency := re.search(r"FREQUENCY = (\w+)", clauses):
            values["frequency"] = frequency[1]

    def _warehouse(self, name: str, clauses: str) -> None:
        values = dict(re.findall(r"(\w+) = (\S+)", clauses))
        monitor = values.get("RESOURCE_MONITOR", "").strip('"')
        assert not monitor or monitor in self.monitors
        self.warehouses.setdefault(name, {}).update(values)

    def _create_role(self, name: str) -> None:
        self.roles.setdefault(name, [])

    def _grant_role(self, role: str, kind: str, name: str) -> None:
        assert name in (self.roles if kind == "ROLE" else self.users), f"{kind} {name} is missing"
        self.roles[role].append((kind, name))

    def _grant(self, privilege: str, kind: str, name: str, role: str) -> None:
        assert role in self.roles
        path = name.replace('"', "")
        exists = {
            "WAREHOUSE": path in self.warehouses,
            "DATABASE": path in self.databases,
            "SCHEMA": path in {f"{d}.{s}" for d, names in self.databases.items() for s in names},
        }
        assert exists[kind], f"{kind} {path} is missing"
        self.grants.append((role, privilege, kind, path))

    def _grant_future(
        self, privilege: str, kind: str, database: str, schema: str, role: str
    ) -> None:
        assert schema in self.databases[database]
        self.future.append((role, privilege, kind, f"{database}.{schema}"))

    def _grant_all(self, kind: str, database: str, schema: str, role: str) -> None:
        for row in self._show_relations(kind, database, schema):
            self.grants.append((role, "SELECT", kind, f"{database}.{schema}.{row['name']}"))

    def _user(self, name: str, clauses: str) -> None:
        values = dict(re.findall(r"(\w+) = '?([^\s']+)'?", clauses))
        assert values.keys() <= {
            "TYPE", "DEFAULT_ROLE", "DEFAULT_WAREHOUSE", "RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2"
        }  # fmt: skip
        self.users.setdefault(name, {}).update(values)

    _changes: ClassVar[Mapping[str, Callable[..., None]]] = {
        f"CREATE DATABASE IF NOT EXISTS {N}": _create_database,
        rf"CREATE SCHEMA IF NOT EXISTS {N}\.{N}": _create_schema,
        f"CREATE RESOURCE MONITOR IF NOT EXISTS {N} WITH (.+)": _monitor,
        f"ALTER RESOURCE MONITOR {N} SET (.+)": _monitor,
        f"CREATE WAREHOUSE IF NOT EXISTS {N} (.+)": _warehouse,
        f"ALTER WAREHOUSE {N} SET (.+)": _warehouse,
        f"CREATE ROLE IF NOT EXISTS {N}": _create_role,
        f"GRANT ROLE {N} TO (USER|ROLE) {N}": _grant_role,
        f"GRANT ([A-Z ]+) ON (WAREHOUSE|DATABASE|SCHEMA) (\\S+) TO ROLE {N}": _grant,
        f"GRANT (\\w+) ON FUTURE (TABLE|VIEW)S IN SCHEMA {N}\\.{N} TO ROLE {N}": _grant_future,
        f"GRANT SELECT ON ALL (TABLE|VIEW)S IN SCHEMA {N}\\.{N} TO ROLE {N}": _grant_all,
        f"CREATE USER IF NOT EXISTS {N} (.+)": _user,
        f"ALTER USER {N} SET (.+)": _user,
    }


class Connection:
    """A session of the account, and its cursor."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._rows: list[Row] = []

    @contextmanager
    def cursor(self) -> Iterator["Connection"]:
        yield self

    def close(self) -> None:
        self._rows = []

    def execute(self, sql: str) -> None:
        self._rows = self._account.run(sql)

    @property
    def description(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name) for name in (self._rows[0] if self._rows else ())]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self._rows]
