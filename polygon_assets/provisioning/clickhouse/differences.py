"""The differences between the declared access and a server, and their statements: pure functions.

Add a difference here; reading the server and running statements belongs to `server`. Grants,
settings and roles that are not declared stay.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from polygon_assets.provisioning.clickhouse.declaration import (
    QUOTA_SECONDS,
    Right,
    Role,
    SettingLimit,
)
from polygon_assets.provisioning.object_plan import (
    ObjectPlan,
    ProvisioningError,
    Statement,
    altered,
    differences,
)
from polygon_assets.serving.table_layout import identifier, text

CONFIGURATION_FILE = "users_xml"
SHORTEST_PASSWORD = 16
"""The hash has no salt, so a password must not be in any list of words."""


@dataclass(frozen=True)
class ProfileState:
    storage: str
    settings: Mapping[str, SettingLimit]


@dataclass(frozen=True)
class QuotaState:
    """`limits` are those of an hour; None without that interval."""

    storage: str
    keys: Sequence[str]
    limits: Mapping[str, int] | None
    roles: Sequence[str]
    """Roles and users that the quota counts."""
    counts_all: bool = False


@dataclass(frozen=True)
class RoleState:
    storage: str
    profiles: Collection[str] = ()
    rights: Collection[Right] = ()


@dataclass(frozen=True)
class UserState:
    storage: str
    roles: Collection[str] = ()
    has_password: bool = True
    """Whether the declared password logs in."""


@dataclass(frozen=True)
class AccessState:
    """What the server has, by name; `groups` is the group of each privilege."""

    profiles: Mapping[str, ProfileState] = field(default_factory=dict)
    quotas: Mapping[str, QuotaState] = field(default_factory=dict)
    roles: Mapping[str, RoleState] = field(default_factory=dict)
    users: Mapping[str, UserState] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)


def plan(roles: Sequence[Role], state: AccessState, on_cluster: str) -> list[ObjectPlan]:
    """Every object in the order in which it is applied; `on_cluster` is a clause or empty.

    Raises ProvisioningError for a password that is too short.
    """
    return [item for role in roles for item in _plan_role(role, state, on_cluster)]


def _plan_role(role: Role, state: AccessState, on_cluster: str) -> Iterator[ObjectPlan]:
    plans = (
        (_profile(role, state, on_cluster), state.profiles.get(role.user)),
        (_role(role, state, on_cluster), state.roles.get(role.name)),
        (_quota(role, state, on_cluster), state.quotas.get(role.user)),
        (_rights(role, state, on_cluster), state.roles.get(role.name)),
        (_user(role, state, on_cluster), state.users.get(role.user)),
    )
    for item, existing in plans:
        in_file = existing is not None and existing.storage == CONFIGURATION_FILE
        yield _left_to_the_file(item) if in_file and item.has_changes else item


def _left_to_the_file(item: ObjectPlan) -> ObjectPlan:
    details = [*item.details, "not changed, because a configuration file of the server declares it"]
    return ObjectPlan(item.name, "left", details)


def _profile(role: Role, state: AccessState, on_cluster: str) -> ObjectPlan:
    name = f"settings profile {role.user}"
    declared = {key: _limit_words(limit) for key, limit in role.profile.items()}
    target = f"{identifier(role.user)}{on_cluster}"
    existing = state.profiles.get(role.user)
    if existing is None:
        sql = f"CREATE SETTINGS PROFILE IF NOT EXISTS {target} SETTINGS {_settings(role.profile)}"
        details = [f"{key} {value}" for key, value in declared.items()]
        return ObjectPlan(name, "create", details, [Statement(sql)])
    current = {key: _limit_words(limit) for key, limit in existing.settings.items()}
    details = list(differences(current, declared))
    other = {key: limit for key, limit in role.profile.items() if current.get(key) != declared[key]}
    sql = f"ALTER SETTINGS PROFILE {target} MODIFY SETTINGS {_settings(other)}"
    return altered(name, details, [Statement(sql)])


def _limit_words(limit: SettingLimit) -> str:
    return limit.value + (f" (at most {limit.maximum})" if limit.maximum else "")


def _settings(profile: Mapping[str, SettingLimit]) -> str:
    return ", ".join(
        f"{key} = {limit.value}" + (f" MAX {limit.maximum}" if limit.maximum else "")
        for key, limit in profile.items()
    )


def _role(role: Role, state: AccessState, on_cluster: str) -> ObjectPlan:
    name, profile = f"role {role.name}", identifier(role.user)
    target = f"{identifier(role.name)}{on_cluster}"
    existing = state.roles.get(role.name)
    if existing is None:
        sql = f"CREATE ROLE IF NOT EXISTS {target} SETTINGS PROFILE {profile}"
        return ObjectPlan(name, "create", [f"settings profile {role.user}"], [Statement(sql)])
    sql = f"ALTER ROLE {target} ADD PROFILE {profile}"
    details = [] if role.user in existing.profiles else [f"settings profile: + {role.user}"]
    return altered(name, details, [Statement(sql)])


def _quota(role: Role, state: AccessState, on_cluster: str) -> ObjectPlan:
    name = f"quota {role.user}"
    declared = {f"{key} an hour": str(value) for key, value in role.quota.items()}
    interval = f"FOR INTERVAL {QUOTA_SECONDS} second {_limits(role.quota)}"
    target = f"{identifier(role.user)}{on_cluster}"
    existing = state.quotas.get(role.user)
    if existing is None:
        sql = f"CREATE QUOTA IF NOT EXISTS {target} KEYED BY user_name {interval}"
        details = [f"{value} {key}" for key, value in declared.items()] or ["only counted"]
        return ObjectPlan(name, "create", details, [Statement(f"{sql} TO {identifier(role.name)}")])
    current = {f"{key} an hour": str(value) for key, value in (existing.limits or {}).items()}
    details = list(differences(current, declared))
    if existing.limits is None:
        details.append("interval: not set -> 1 hour")
    clauses = [interval] if details else []
    if "user_name" not in existing.keys:
        details.append(f"keyed by: {', '.join(existing.keys) or 'nothing'} -> user_name")
        # The grammar wants the key before the interval.
        clauses.insert(0, "KEYED BY user_name")
    if role.name not in existing.roles and not existing.counts_all:
        details.append(f"counts: + {role.name}")
        counted = ", ".join(map(identifier, (*existing.roles, role.name)))
        clauses.append(f"TO {counted}")
    return altered(name, details, [Statement(f"ALTER QUOTA {target} {' '.join(clauses)}")])


def _limits(quota: Mapping[str, int]) -> str:
    if not quota:
        return "TRACKING ONLY"
    return "MAX " + ", ".join(f"{key} = {value}" for key, value in quota.items())


def _rights(role: Role, state: AccessState, on_cluster: str) -> ObjectPlan:
    existing = state.roles.get(role.name)
    granted = existing.rights if existing else ()
    missing = [right for right in role.rights if not _has(granted, right, state.groups)]
    privileges: dict[str, list[str]] = {}
    for right in missing:
        privileges.setdefault(_target(right), []).append(right.privilege)
    details = [f"+ {', '.join(names)} ON {target}" for target, names in privileges.items()]
    statements = [
        Statement(f"GRANT{on_cluster} {', '.join(names)} ON {target} TO {identifier(role.name)}")
        for target, names in privileges.items()
    ]
    return altered(f"rights of role {role.name}", details, statements)


def _has(granted: Collection[Right], wanted: Right, groups: Mapping[str, str]) -> bool:
    """Whether a grant covers the right: of the privilege or its group, on the object or more."""
    names, privilege = {wanted.privilege}, wanted.privilege
    while privilege := groups.get(privilege, ""):
        names.add(privilege)
    return any(
        right.privilege in names
        and right.database in (None, wanted.database)
        and right.table in (None, wanted.table)
        and right.engine in ("", wanted.engine)
        for right in granted
    )


def _target(right: Right) -> str:
    if right.engine:
        return identifier(right.engine)
    database = identifier(right.database) if right.database else "*"
    table = right.table or "*"
    # The star is no part of the name: `rebuild_`*
    quoted = identifier(table.removesuffix("*")) if table != "*" else ""
    return f"{database}.{quoted}{'*' if table.endswith('*') else ''}"


def _user(role: Role, state: AccessState, on_cluster: str) -> ObjectPlan:
    name, existing = f"user {role.user}", state.users.get(role.user)
    if not role.password:
        outcome = "not created" if existing is None else "left alone"
        return ObjectPlan(name, "same", [f"{outcome}, because {role.password_variable} is not set"])
    if len(role.password) < SHORTEST_PASSWORD:
        raise ProvisioningError(
            f"{role.password_variable} has {len(role.password)} characters, fewer than "
            f"{SHORTEST_PASSWORD}; make a longer one, such as `openssl rand -hex 24` prints"
        )
    digest = hashlib.sha256(role.password.encode()).hexdigest()
    identified = f"{identifier(role.user)}{on_cluster} IDENTIFIED WITH sha256_hash BY "
    details, statements = [], []
    if existing is None:
        details.append(f"password of {role.password_variable}")
        sql = f"CREATE USER IF NOT EXISTS {identified}{text(digest)}"
        statements.append(Statement(sql, digest))
    elif not existing.has_password:
        details.append(f"password: another -> that of {role.password_variable}")
        statements.append(Statement(f"ALTER USER {identified}{text(digest)}", digest))
    if existing is None or role.name not in existing.roles:
        details.append(f"role: + {role.name}")
        grant = f"GRANT{on_cluster} {identifier(role.name)} TO {identifier(role.user)}"
        statements.append(Statement(grant))
    if existing is None:
        return ObjectPlan(name, "create", details, statements)
    return altered(name, details, statements)
