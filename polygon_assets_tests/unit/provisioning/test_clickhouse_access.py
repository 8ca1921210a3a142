"""The differences between the declared access and a server, and that applying removes them.

chDB stores no users, so a model carries out the statements here; the engine parses the same
statements and answers the queries in processes/test_clickhouse_access.py.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from polygon_assets.provisioning.clickhouse.declaration import Right, SettingLimit, roles
from polygon_assets.provisioning.clickhouse.differences import (
    AccessState,
    ProfileState,
    QuotaState,
    RoleState,
    UserState,
    plan,
)
from polygon_assets.provisioning.object_plan import ProvisioningError
from polygon_assets.serving.migrate import read_migrations
from polygon_assets.settings import Settings

PASSWORDS = {
    "clickhouse_writer_password": "writer-" + "w" * 20,
    "clickhouse_reader_password": "reader-" + "r" * 20,
}
SETTINGS = Settings.model_validate(PASSWORDS)
ROLES = roles(SETTINGS)
NAME = r"`(\w+)`(?: ON CLUSTER `main`)?"
HASH = r"IDENTIFIED WITH sha256_hash BY '(\w{64})'"
LOCAL = "local_directory"


class Server:
    """Carries out the statements on an AccessState, and refuses any other form."""

    def __init__(self, state: AccessState) -> None:
        self.state = state
        self.profiles, self.quotas = dict(state.profiles), dict(state.quotas)
        self.roles, self.users = dict(state.roles), dict(state.users)

    def apply(self, sql: str) -> None:
        forms: dict[str, Callable[..., None]] = {
            rf"CREATE SETTINGS PROFILE IF NOT EXISTS {NAME} SETTINGS (.+)": self._new_profile,
            rf"ALTER SETTINGS PROFILE {NAME} MODIFY SETTINGS (.+)": self._modify_profile,
            rf"CREATE ROLE IF NOT EXISTS {NAME} SETTINGS PROFILE `(\w+)`": self._new_role,
            rf"ALTER ROLE {NAME} ADD PROFILE `(\w+)`": self._add_profile,
            rf"(CREATE) QUOTA IF NOT EXISTS {NAME}(.+)": self._quota,
            rf"(ALTER) QUOTA {NAME}(.+)": self._quota,
            r"GRANT(?: ON CLUSTER `main`)? `(\w+)` TO `(\w+)`": self._grant_role,
            r"GRANT(?: ON CLUSTER `main`)? ([A-Z ,]+) ON (\S+) TO `(\w+)`": self._grant,
            rf"(CREATE) USER IF NOT EXISTS {NAME} {HASH}": self._user,
            rf"(ALTER) USER {NAME} {HASH}": self._user,
        }
        for form, action in forms.items():
            if match := re.fullmatch(form, sql):
                action(*match.groups())
                return
        raise AssertionError(f"unknown statement: {sql}")

    def result(self) -> AccessState:
        return AccessState(self.profiles, self.quotas, self.roles, self.users, self.state.groups)

    def _new_profile(self, name: str, settings: str) -> None:
        self.profiles[name] = ProfileState(LOCAL, {})
        self._modify_profile(name, settings)

    def _modify_profile(self, name: str, settings: str) -> None:
        parsed = re.findall(r"(\w+) = (\w+)(?: MAX (\w+))?", settings)
        values = {key: SettingLimit(value, most or None) for key, value, most in parsed}
        state = self.profiles[name]
        self.profiles[name] = replace(state, settings={**state.settings, **values})

    def _new_role(self, name: str, profile: str) -> None:
        self.roles[name] = RoleState(LOCAL)
        self._add_profile(name, profile)

    def _add_profile(self, name: str, profile: str) -> None:
        state = self.roles[name]
        self.roles[name] = replace(state, profiles=[*state.profiles, profile])

    def _quota(self, verb: str, name: str, clauses: str) -> None:
        if verb == "CREATE":
            self.quotas[name] = QuotaState(LOCAL, [], None, [])
        state = self.quotas[name]
        if keyed := re.search(r" KEYED BY (\w+)", clauses):
            state = replace(state, keys=[keyed[1]])
        if limits := re.search(r" FOR INTERVAL 3600 second (?:TRACKING ONLY|MAX ([^T]+))", clauses):
            found = dict(re.findall(r"(\w+) = (\d+)", limits[1] or ""))
            values = {key: int(value) for key, value in found.items()}
            state = replace(state, limits={**(state.limits or {}), **values})
        if counted := re.search(r" TO (.+)", clauses):
            # TO replaces the list, as in ClickHouse.
            state = replace(state, roles=re.findall(r"`(\w+)`", counted[1]))
        self.quotas[name] = state

    def _grant_role(self, role: str, user: str) -> None:
        state = self.users[user]
        self.users[user] = replace(state, roles=[*state.roles, role])

    def _grant(self, privileges: str, target: str, role: str) -> None:
        database, _, table = target.replace("`", "").partition(".")
        for privilege in privileges.split(", "):
            right = (
                Right(privilege, engine=database)
                if privilege == "TABLE ENGINE"
                else Right(
                    privilege,
                    None if database == "*" else database,
                    None if table == "*" else table,
                )
            )
            state = self.roles[role]
            self.roles[role] = replace(state, rights={*state.rights, right})

    def _user(self, verb: str, name: str, digest: str) -> None:
        role = next(role for role in ROLES if role.user == name)
        right = digest == hashlib.sha256(role.password.encode()).hexdigest()
        before = UserState(LOCAL) if verb == "CREATE" else self.users[name]
        self.users[name] = replace(before, has_password=right)


def applied(state: AccessState, settings: Settings = SETTINGS, on_cluster: str = "") -> AccessState:
    server = Server(state)
    for item in plan(roles(settings), state, on_cluster):
        for statement in item.statements:
            server.apply(statement.sql)
    return server.result()


@pytest.mark.parametrize("layout", ["single", "replicated", "cloud"])
def test_an_empty_server_gets_everything_once_and_a_second_plan_finds_no_difference(
    layout: str,
) -> None:
    settings = SETTINGS.model_copy(update={"clickhouse_tables": layout})
    on_cluster = " ON CLUSTER `main`" if layout == "replicated" else ""
    first = plan(roles(settings), AccessState(), on_cluster)
    assert all(item.has_changes for item in first)
    assert all(on_cluster in one.sql for item in first for one in item.statements)
    state = applied(AccessState(), settings, on_cluster)
    assert [item.outcome for item in plan(roles(settings), state, on_cluster)] == ["same"] * 10


def test_what_people_added_stays() -> None:
    state = applied(AccessState())
    extra = AccessState(
        {
            "polygon_reader": ProfileState(
                LOCAL, {"readonly": SettingLimit("0"), "max_threads": SettingLimit("2")}
            )
        },
        {"polygon_reader": replace(state.quotas["polygon_reader"], roles=["analysts"])},
        {"polygon_read": RoleState(LOCAL, ["theirs"], {Right("SELECT", "other")})},
        {"polygon_reader": UserState(LOCAL, ["analysts"], has_password=False)},
    )
    result = applied(extra)
    assert result.profiles["polygon_reader"].settings["max_threads"] == SettingLimit("2")
    assert result.quotas["polygon_reader"].roles == ["analysts", "polygon_read"]
    assert "theirs" in result.roles["polygon_read"].profiles
    assert Right("SELECT", "other") in result.roles["polygon_read"].rights
    assert result.users["polygon_reader"] == UserState(LOCAL, ["analysts", "polygon_read"])
    assert all(item.outcome == "same" for item in plan(ROLES, result, ""))
    statements = [one.sql for item in plan(ROLES, extra, "") for one in item.statements]
    assert not any(re.match(r"(DROP|REVOKE|TRUNCATE)\b", sql) for sql in statements)


def test_changes_are_shown_from_and_to() -> None:
    state = applied(AccessState())
    profile = ProfileState(LOCAL, {"readonly": SettingLimit("1")})
    quota = QuotaState(LOCAL, ["ip_address"], {"queries": 7}, ["polygon_read"])
    changed = replace(
        state,
        profiles={**state.profiles, "polygon_reader": profile},
        quotas={**state.quotas, "polygon_reader": quota},
    )
    lines = [str(item) for item in plan(ROLES, changed, "") if item.has_changes]
    assert lines[0].startswith("~ settings profile polygon_reader: readonly: 1 -> 2, max_exec")
    assert lines[1].startswith("~ quota polygon_reader: queries an hour: 7 -> 360000")
    assert lines[1].endswith("keyed by: ip_address -> user_name")


def test_a_wider_grant_covers_a_right_and_another_database_does_not() -> None:
    groups = {"SELECT": "ALL", "ALTER TTL": "ALTER TABLE", "ALTER TABLE": "ALTER", "ALTER": "ALL"}
    wide = RoleState(LOCAL, ["polygon_reader"], {Right("ALL")})
    other = RoleState(LOCAL, ["polygon_reader"], {Right("ALL", "other")})
    for state, outcome in ((wide, "same"), (other, "change")):
        access = AccessState(roles={"polygon_read": state}, groups=groups)
        found = {item.name: item.outcome for item in plan(ROLES, access, "")}
        assert found["rights of role polygon_read"] == outcome


def test_an_object_of_a_configuration_file_is_left_to_its_author() -> None:
    state = applied(AccessState())
    in_file = replace(state.users["polygon_reader"], storage="users_xml", has_password=False)
    changed = replace(state, users={**state.users, "polygon_reader": in_file})
    [item] = [item for item in plan(ROLES, changed, "") if item.outcome != "same"]
    assert str(item).startswith("! user polygon_reader: password: another -> that of CLICK")
    assert "a configuration file" in str(item)
    assert not item.statements


def test_a_user_without_a_declared_password_is_left_alone() -> None:
    lines = [str(item) for item in plan(roles(Settings()), AccessState(), "")]
    assert "= user polygon_reader: not created, because CLICKHOUSE_READER_PASSWORD is not set" in (
        lines
    )


def test_a_short_password_is_refused_without_being_shown() -> None:
    settings = Settings.model_validate({"clickhouse_reader_password": "tooshort"})
    with pytest.raises(ProvisioningError, match="CLICKHOUSE_READER_PASSWORD has 8 char") as error:
        plan(roles(settings), AccessState(), "")
    assert "tooshort" not in str(error.value)


def test_neither_password_nor_hash_is_printed() -> None:
    plans = plan(ROLES, AccessState(), "")
    shown = "\n".join([*map(str, plans), *map(repr, plans), repr(ROLES)])
    for password in PASSWORDS.values():
        digest = hashlib.sha256(password.encode()).hexdigest()
        assert password not in shown
        assert digest not in shown
        [statement] = [one for item in plans for one in item.statements if digest in one.sql]
        assert digest not in statement.conceal(f"Syntax error: {statement.sql}")


def test_what_migrations_drop_may_be_dropped_on_a_cluster_too() -> None:
    """There ClickHouse asks for the right to drop a table where a view is dropped, and reverse."""
    writer, _ = roles(SETTINGS)
    rights = {(right.privilege, right.table) for right in writer.rights}
    statements = "\n".join(migration.sql for migration in read_migrations())
    dropped = re.findall(r"DROP (?:TABLE|VIEW) IF EXISTS market\.(\w+)", statements)
    assert dropped
    assert ("DROP VIEW", None) in rights
    assert {("DROP TABLE", name) for name in dropped} <= rights


def test_the_reader_can_only_read_and_no_role_can_delete_rows() -> None:
    for layout in ("single", "replicated", "cloud"):
        settings = SETTINGS.model_copy(update={"clickhouse_tables": layout})
        writer, reader = roles(settings)
        assert {right.privilege for right in reader.rights} == {"SELECT"}
        assert {(right.database, right.table) for right in reader.rights} == {
            ("market", None),
            ("system", "parts"),
        }
        dangerous = re.compile(
            r"ALL|TRUNCATE|DELETE|UPDATE|DROP DATABASE|ACCESS|ROLE|USER|FILE|URL"
        )
        assert not [right for right in writer.rights if dangerous.search(right.privilege)]
        assert (Right("CLUSTER") in writer.rights) == (layout == "replicated")
