"""Reads and changes a ClickHouse server's users, roles, rights, profiles and quotas.

Add a question to the server here, with its SQL in `queries`; what to change is `differences`'.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib import resources
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from polygon_assets.clients import clickhouse
from polygon_assets.provisioning.clickhouse.declaration import (
    QUOTA_SECONDS,
    Right,
    Role,
    SettingLimit,
)
from polygon_assets.provisioning.clickhouse.differences import (
    AccessState,
    ProfileState,
    QuotaState,
    RoleState,
    UserState,
)
from polygon_assets.provisioning.object_plan import ObjectPlan, ProvisioningError
from polygon_assets.serving.table_layout import TableLayout
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.exceptions import Error

_QUERIES = resources.files("polygon_assets.provisioning.clickhouse") / "queries"
_REPLICATED_STORAGE = "replicated"
_ACCESS_DENIED, _NO_WRITABLE_STORAGE, _AUTHENTICATION_FAILED = 497, 514, 516
_CURES = {
    _ACCESS_DENIED: "give CLICKHOUSE_USER the right to manage access (access_management in "
    "users.xml; the user default of ClickHouse Cloud has it), or name another user",
    _NO_WRITABLE_STORAGE: "add a local_directory or replicated storage to user_directories of the "
    "server's configuration",
}


def read(settings: Settings, roles: Sequence[Role]) -> tuple[AccessState, str]:
    """What the server has of the declared names, and the clause that reaches every replica.

    The clause is empty for a single server, and where the server replicates users by itself.
    Raises ProvisioningError.
    """
    names = [name for role in roles for name in (role.name, role.user)]
    with _connected(settings) as client:
        state = AccessState(
            _profiles(client, names),
            _quotas(client, names),
            _roles(client, names),
            _users(client, names, _refused_users(settings, roles)),
            {row["privilege"]: row["parent_group"] for row in _rows(client, "privilege_groups")},
        )
        storages = {row["type"] for row in _rows(client, "access_storages")}
    on_cluster = TableLayout.of(settings).on_cluster
    return state, "" if _REPLICATED_STORAGE in storages else on_cluster


def apply(settings: Settings, plans: Sequence[ObjectPlan]) -> Iterator[ObjectPlan]:
    """Run the statements of the plans one after the other, and yield each plan when it is done.

    Raises ProvisioningError; what was done before stays, and a repetition continues.
    """
    from clickhouse_connect.driver.exceptions import Error

    query_settings = TableLayout.of(settings).query_settings
    with _connected(settings) as client:
        for item in (item for item in plans if item.has_changes):
            for statement in item.statements:
                try:
                    client.command(statement.sql, settings=query_settings)
                except Error as error:
                    message = statement.conceal(_message(settings, error))
                    raise ProvisioningError(f"{item.name}: {message}") from None
            yield item


def _connected(settings: Settings) -> AbstractContextManager["Client"]:
    return clickhouse.connected(settings, ProvisioningError, _message)


def _message(settings: Settings, error: "Error") -> str:
    server = f"ClickHouse at {settings.clickhouse_host}:{settings.clickhouse_port}"
    cure = _CURES.get(error.code or 0, "")
    words = settings.conceal(str(error))
    return f"{server}, user {settings.clickhouse_user}: {words}" + (f"; {cure}" if cure else "")


def _rows(client: "Client", query: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    text = (_QUERIES / f"{query}.sql").read_text()
    yield from client.query(text, parameters=parameters).named_results()


def _profiles(client: "Client", names: Sequence[str]) -> dict[str, ProfileState]:
    storages: dict[str, str] = {}
    elements: dict[str, dict[str, SettingLimit]] = {}
    for row in _rows(client, "profiles", names=names):
        storages[row["name"]] = row["storage"]
        settings = elements.setdefault(row["name"], {})
        if row["setting_name"]:
            settings[row["setting_name"]] = SettingLimit(row["value"] or "", row["max"])
    return {name: ProfileState(storages[name], elements[name]) for name in storages}


def _quotas(client: "Client", names: Sequence[str]) -> dict[str, QuotaState]:
    states = {}
    for row in _rows(client, "quotas", names=names, seconds=QUOTA_SECONDS):
        limits = {
            key: int(row[f"max_{key}"])
            for key in ("queries", "errors", "execution_time")
            if row[f"max_{key}"] is not None
        }
        states[row["name"]] = QuotaState(
            row["storage"],
            row["keys"],
            limits if row["has_interval"] else None,
            row["apply_to_list"],
            bool(row["apply_to_all"]) and not set(names) & set(row["apply_to_except"]),
        )
    return states


def _roles(client: "Client", names: Sequence[str]) -> dict[str, RoleState]:
    rights: dict[str, set[Right]] = {}
    for row in _rows(client, "rights", names=names):
        right = Right(row["privilege"], row["database"], row["table"], row["access_object"])
        rights.setdefault(row["role_name"], set()).add(right)
    return {
        row["name"]: RoleState(row["storage"], row["profiles"], rights.get(row["name"], set()))
        for row in _rows(client, "roles", names=names)
    }


def _users(
    client: "Client", names: Sequence[str], refused: Collection[str]
) -> dict[str, UserState]:
    return {
        row["name"]: UserState(row["storage"], row["roles"], row["name"] not in refused)
        for row in _rows(client, "users", names=names)
    }


def _refused_users(settings: Settings, roles: Sequence[Role]) -> set[str]:
    """The users whose declared password does not log in; ClickHouse shows no password to compare.

    A user that does not exist is refused as well.
    """
    from clickhouse_connect.driver.exceptions import DatabaseError

    refused = set()
    for role in (role for role in roles if role.password):
        login = settings.model_copy(
            update={
                "clickhouse_user": role.user,
                "clickhouse_password": SecretStr(role.password),
            }
        )
        try:
            clickhouse.connect(login).close()
        except DatabaseError as error:
            if error.code != _AUTHENTICATION_FAILED:
                raise ProvisioningError(_message(login, error)) from None
            refused.add(role.user)
    return refused
