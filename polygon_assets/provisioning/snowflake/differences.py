"""The differences between the declaration and an account, and their statements: pure functions.

Add a difference here; reading the account and running statements belongs to `server`. Nothing is
dropped, revoked or taken from another owner.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from polygon_assets.provisioning.object_plan import (
    ObjectPlan,
    Statement,
    altered,
    differences,
)
from polygon_assets.provisioning.snowflake.declaration import (
    NOTIFY_PERCENT,
    SUSPEND_NOW_PERCENT,
    SUSPEND_PERCENT,
    Declaration,
    Right,
    Role,
)
from polygon_assets.provisioning.snowflake.public_keys import PublicKey

KEY_SLOTS = ("RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2")


@dataclass(frozen=True)
class MonitorState:
    """Percentages are those of the quota."""

    credit_quota: float
    frequency: str
    notify_at: Sequence[int] = ()
    suspend_at: int | None = None
    suspend_now_at: int | None = None


@dataclass(frozen=True)
class WarehouseState:
    size: str
    auto_suspend_seconds: int
    auto_resume: bool
    monitor: str


@dataclass(frozen=True)
class UserState:
    """`fingerprints` by key slot; an empty slot is missing."""

    type: str
    default_role: str
    default_warehouse: str
    fingerprints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Relation:
    """A table or a view; `kind` is TABLE or VIEW."""

    kind: str
    name: str
    owner: str


@dataclass(frozen=True)
class AccountState:
    """What the account has of the declared names, except database and schemas."""

    monitor: MonitorState | None = None
    warehouse: WarehouseState | None = None
    roles: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By role, the roles and users that have it."""
    rights: Mapping[str, Collection[Right]] = field(default_factory=dict)
    """By role; those on tables and views have the whole name of one."""
    users: Mapping[str, UserState] = field(default_factory=dict)


@dataclass(frozen=True)
class SnowflakeState:
    """`account` is None where the server has no accounts to manage (the embedded one)."""

    has_database: bool = False
    schemas: Collection[str] = ()
    relations: Mapping[str, Sequence[Relation]] = field(default_factory=dict)
    """By schema, as `database.schema`."""
    account: AccountState | None = None


def plan(declared: Declaration, state: SnowflakeState) -> list[ObjectPlan]:
    """Every object, in the order in which it is applied."""
    account = state.account
    plans = []
    if account is not None:
        plans += [_monitor(declared, account), _warehouse(declared, account)]
    plans.append(
        _created(
            f"database {declared.database}",
            state.has_database,
            f"CREATE DATABASE IF NOT EXISTS {identifier(declared.database)}",
        )
    )
    for schema in declared.schemas:
        path = f"{declared.database}.{schema}"
        sql = f"CREATE SCHEMA IF NOT EXISTS {path_of(path)}"
        plans.append(_created(f"schema {path}", schema in state.schemas, sql))
    if account is not None:
        plans += [_role(role, account) for role in declared.roles]
        plans += [_rights(role, state, account) for role in declared.roles]
        plans += [_user(role, declared, account) for role in declared.roles]
        plans += _foreign_tables(declared, state)
    return plans


def identifier(name: str) -> str:
    """A Snowflake name in quotes."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def path_of(path: str) -> str:
    """`database.schema` in quotes."""
    return ".".join(map(identifier, path.split(".")))


def text(value: str) -> str:
    """A Snowflake string in quotes."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _created(name: str, exists: bool, sql: str) -> ObjectPlan:
    if exists:
        return ObjectPlan(name, "same")
    return ObjectPlan(name, "create", (), [Statement(sql)])


def _monitor(declared: Declaration, account: AccountState) -> ObjectPlan:
    name, target = f"resource monitor {declared.monitor}", identifier(declared.monitor)
    state = account.monitor
    wanted = {
        "credits a month": str(declared.credit_quota),
        "suspend at": f"{SUSPEND_PERCENT}%",
        "suspend at once at": f"{SUSPEND_NOW_PERCENT}%",
    }
    notify = sorted({NOTIFY_PERCENT, *(state.notify_at if state else ())})
    triggers = "TRIGGERS " + " ".join(
        [
            *(f"ON {percent} PERCENT DO NOTIFY" for percent in notify),
            f"ON {SUSPEND_PERCENT} PERCENT DO SUSPEND",
            f"ON {SUSPEND_NOW_PERCENT} PERCENT DO SUSPEND_IMMEDIATE",
        ]
    )
    quota = f"CREDIT_QUOTA = {declared.credit_quota}"
    monthly = "FREQUENCY = MONTHLY START_TIMESTAMP = IMMEDIATELY"
    if state is None:
        sql = f"CREATE RESOURCE MONITOR IF NOT EXISTS {target} WITH {quota} {monthly} {triggers}"
        details = [f"{value} {key}" for key, value in wanted.items()]
        return ObjectPlan(name, "create", details, [Statement(sql)])
    current = {
        "credits a month": f"{state.credit_quota:g}",
        "suspend at": _percent(state.suspend_at),
        "suspend at once at": _percent(state.suspend_now_at),
    }
    details = list(differences(current, wanted))
    if NOTIFY_PERCENT not in state.notify_at:
        details.append(f"notify at: + {NOTIFY_PERCENT}%")
    clauses = [quota]
    if state.frequency.upper() != "MONTHLY":
        details.append(f"frequency: {state.frequency} -> MONTHLY")
        clauses.append(monthly)
    # TRIGGERS replaces all, so the existing notifications are repeated.
    sql = f"ALTER RESOURCE MONITOR {target} SET {' '.join(clauses)} {triggers}"
    return altered(name, details, [Statement(sql)])


def _percent(value: int | None) -> str | None:
    return None if value is None else f"{value}%"


def _warehouse(declared: Declaration, account: AccountState) -> ObjectPlan:
    name, target = f"warehouse {declared.warehouse}", identifier(declared.warehouse)
    wanted = {
        "WAREHOUSE_SIZE": declared.warehouse_size,
        "AUTO_SUSPEND": str(declared.auto_suspend_seconds),
        "AUTO_RESUME": "TRUE",
        "RESOURCE_MONITOR": declared.monitor,
    }
    sql_values = wanted | {"RESOURCE_MONITOR": identifier(declared.monitor)}
    state = account.warehouse
    if state is None:
        values = " ".join(f"{key} = {value}" for key, value in sql_values.items())
        sql = f"CREATE WAREHOUSE IF NOT EXISTS {target} {values} INITIALLY_SUSPENDED = TRUE"
        details = [f"{key} {value}" for key, value in wanted.items()]
        return ObjectPlan(name, "create", details, [Statement(sql)])
    current = {
        "WAREHOUSE_SIZE": state.size,
        "AUTO_SUSPEND": str(state.auto_suspend_seconds),
        "AUTO_RESUME": str(state.auto_resume).upper(),
        "RESOURCE_MONITOR": state.monitor,
    }
    other = [key for key, value in wanted.items() if current[key] != value]
    values = " ".join(f"{key} = {sql_values[key]}" for key in other)
    details = list(differences(current, wanted))
    return altered(name, details, [Statement(f"ALTER WAREHOUSE {target} SET {values}")])


def _role(role: Role, account: AccountState) -> ObjectPlan:
    name, exists = f"role {role.name}", role.name in account.roles
    missing = [
        parent for parent in role.inherited_by if parent not in account.roles.get(role.name, ())
    ]
    statements = [
        *([] if exists else [Statement(f"CREATE ROLE IF NOT EXISTS {identifier(role.name)}")]),
        *(
            Statement(f"GRANT ROLE {identifier(role.name)} TO ROLE {identifier(parent)}")
            for parent in missing
        ),
    ]
    details = [f"granted to: + {parent}" for parent in missing]
    if not exists:
        return ObjectPlan(name, "create", details, statements)
    return altered(name, details, statements)


def _rights(role: Role, state: SnowflakeState, account: AccountState) -> ObjectPlan:
    granted = account.rights.get(role.name, ())
    missing = [right for right in role.rights if not _has(granted, right)]
    details = [f"+ {right.privilege} ON {_words(right)}" for right in missing]
    statements = [
        Statement(f"GRANT {right.privilege} ON {_target(right)} TO ROLE {identifier(role.name)}")
        for right in missing
    ]
    for schema in role.reads:
        for kind in ("TABLE", "VIEW"):
            names = [r.name for r in state.relations.get(schema, ()) if r.kind == kind]
            unread = [name for name in names if not _has(granted, Right("SELECT", kind, name))]
            if unread:
                details.append(f"+ SELECT ON {len(unread)} of {len(names)} {kind}S IN {schema}")
                every = f"ALL {kind}S IN SCHEMA {path_of(schema)}"
                statements.append(
                    Statement(f"GRANT SELECT ON {every} TO ROLE {identifier(role.name)}")
                )
    return altered(f"rights of role {role.name}", details, statements)


def _has(granted: Collection[Right], wanted: Right) -> bool:
    """Whether the right was granted; the owner of an object has every right on it."""
    owner = Right("OWNERSHIP", wanted.kind, wanted.name, wanted.future)
    return wanted in granted or owner in granted


def _words(right: Right) -> str:
    if right.future:
        return f"FUTURE {right.kind}S IN {right.name}"
    return f"{right.kind} {right.name}"


def _target(right: Right) -> str:
    if right.future:
        return f"FUTURE {right.kind}S IN SCHEMA {path_of(right.name)}"
    # Only a schema's name has parts; a warehouse's or a database's may contain a dot.
    name = path_of(right.name) if right.kind == "SCHEMA" else identifier(right.name)
    return f"{right.kind} {name}"


def _user(role: Role, declared: Declaration, account: AccountState) -> ObjectPlan:
    name, state = f"user {role.user}", account.users.get(role.user)
    if role.key is None:
        outcome = "not created" if state is None else "left alone"
        why = "SNOWFLAKE_PUBLIC_KEYS has no key for it"
        return ObjectPlan(name, "same", [f"{outcome}, because {why}"])
    wanted = {
        "TYPE": "SERVICE",
        "DEFAULT_ROLE": role.name,
        "DEFAULT_WAREHOUSE": declared.warehouse,
    }
    grant = f"GRANT ROLE {identifier(role.name)} TO USER {identifier(role.user)}"
    if state is None:
        values = " ".join(_property(key, value) for key, value in wanted.items())
        sql = f"CREATE USER IF NOT EXISTS {identifier(role.user)} {values} "
        sql += f"RSA_PUBLIC_KEY = {text(role.key.body)}"
        details = [f"key {role.key.fingerprint}", f"role: + {role.name}"]
        return ObjectPlan(
            name, "create", details, [Statement(sql, role.key.body), Statement(grant)]
        )
    current = {
        "TYPE": state.type,
        "DEFAULT_ROLE": state.default_role,
        "DEFAULT_WAREHOUSE": state.default_warehouse,
    }
    details = list(differences(current, wanted))
    other = [_property(key, value) for key, value in wanted.items() if current[key] != value]
    alter = f"ALTER USER {identifier(role.user)} SET"
    statements = [Statement(f"{alter} {' '.join(other)}")] if other else []
    if role.user not in account.roles.get(role.name, ()):
        details.append(f"role: + {role.name}")
        statements.append(Statement(grant))
    return _with_key(ObjectPlan(name, "same", details, statements), role.key, state, alter)


def _property(key: str, value: str) -> str:
    return f"{key} = {value if key == 'TYPE' else text(value)}"


def _with_key(item: ObjectPlan, key: PublicKey, state: UserState, alter: str) -> ObjectPlan:
    """The user's plan with its key: a new one goes to the free slot, so that both log in.

    The old key stays until a person removes it, when no service uses it any more.
    """
    slots = {slot: state.fingerprints.get(slot, "") for slot in KEY_SLOTS}
    other = [slot for slot, used in slots.items() if used and used != key.fingerprint]
    unset = f"{alter.removesuffix(' SET')} UNSET"
    if key.fingerprint in slots.values():
        hints = [
            f"{slot} holds another key; when no service uses it: {unset} {slot}" for slot in other
        ]
        changed = altered(item.name, item.details, item.statements)
        return ObjectPlan(item.name, changed.outcome, [*item.details, *hints], changed.statements)
    free = next((slot for slot, used in slots.items() if not used), None)
    if free is None:
        detail = (
            f"key {key.fingerprint} not set, because both slots hold other keys; remove the one "
            f"that no service uses, such as {unset} {KEY_SLOTS[0]}, and apply again"
        )
        return ObjectPlan(item.name, "left", [*item.details, detail], item.statements)
    details = [*item.details, f"{free}: not set -> {key.fingerprint}"]
    sql = f"{alter} {free} = {text(key.body)}"
    return altered(item.name, details, [*item.statements, Statement(sql, key.body)])


def _foreign_tables(declared: Declaration, state: SnowflakeState) -> Iterator[ObjectPlan]:
    """Tables that another role owns: Airbyte or Dagster can neither extend nor replace them."""
    for schema, role in declared.owners.items():
        tables = [one for one in state.relations.get(schema, ()) if one.kind == "TABLE"]
        if others := sorted({table.owner for table in tables} - {role}):
            yield ObjectPlan(
                f"tables of schema {schema}",
                "left",
                [
                    f"some are owned by {', '.join(others)}; not changed, because that role may "
                    f"need them; to hand them over: GRANT OWNERSHIP ON ALL TABLES IN SCHEMA "
                    f"{path_of(schema)} TO ROLE {identifier(role)} COPY CURRENT GRANTS"
                ],
            )
