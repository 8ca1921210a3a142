"""The differences between the declared Airbyte workspace and a real one, as they are shown.

Requests belong to test_stubbed_airbyte and processes/test_airbyte_plan.
"""

import datetime as dt
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from polygon_assets.batch.airbyte.declaration import Declaration, declaration
from polygon_assets.batch.airbyte.workspace_plan import Plan, WorkspaceState, plan
from polygon_assets.settings import Settings
from polygon_assets_tests.airbyte_workspace import EMPTY, as_declared

SETTINGS = Settings(
    airbyte_workspace_id="w",
    polygon_api_key=SecretStr("HIDDEN-API-KEY"),
    snowflake_account="ORG-ACCOUNT",
    snowflake_user="AIRBYTE",
    snowflake_private_key=SecretStr("HIDDEN-PRIVATE-KEY"),
    snowflake_role="LOADER",
    snowflake_warehouse="SMALL",
)
START = dt.date(2026, 11, 2)
DECLARED = declaration(SETTINGS, START)
TITLES = [
    "connector polygon",
    "source polygon",
    "destination snowflake",
    "connection polygon_reference",
    "connection polygon_daily",
]
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def workspace() -> WorkspaceState:
    """A workspace without a difference, which a test changes."""
    return deepcopy(as_declared(DECLARED))


def compared(workspace: WorkspaceState, declared: Declaration = DECLARED) -> Plan:
    """The plan, which never shows a secret."""
    result = plan(declared, workspace)
    assert "HIDDEN" not in "\n".join(result.lines())
    assert "HIDDEN" not in repr(result)
    return result


def daily(workspace: WorkspaceState) -> dict[str, Any]:
    return next(item for item in workspace.connections if item["name"] == "polygon_daily")


def stream(workspace: WorkspaceState, name: str) -> dict[str, Any]:
    streams = daily(workspace)["configurations"]["streams"]
    return next(item for item in streams if item["name"] == name)


def entry(workspace: WorkspaceState, name: str) -> dict[str, Any]:
    catalog = workspace.catalogs[daily(workspace)["connectionId"]]
    return next(item for item in catalog if item["stream"]["name"] == name)


def test_an_empty_workspace_gets_everything_in_the_order_of_dependence() -> None:
    result = compared(EMPTY)
    assert [change.title for change in result.changes] == TITLES
    assert all(str(change).startswith(f"+ create {change.title}: ") for change in result.changes)
    assert result.changes[1].body["configuration"]["api_key"] == "HIDDEN-API-KEY"


def test_a_workspace_as_declared_has_no_difference(workspace: WorkspaceState) -> None:
    result = compared(workspace)
    assert not result.has_differences
    assert result.same == TITLES
    assert result.lines()[-1].startswith("note: Airbyte masks the stored API key")


@pytest.mark.parametrize("shown", ["**********", {"_secret": "airbyte_workspace_secret_v1"}])
def test_a_stored_secret_is_no_difference_however_airbyte_shows_it(
    workspace: WorkspaceState, shown: object
) -> None:
    workspace.sources[0]["configuration"]["api_key"] = shown
    workspace.destinations[0]["configuration"]["credentials"]["private_key"] = shown
    assert not compared(workspace).has_differences


def test_a_missing_secret_is_a_difference(workspace: WorkspaceState) -> None:
    del workspace.sources[0]["configuration"]["api_key"]
    [change] = compared(workspace).changes
    assert str(change) == "~ source polygon: api_key: not set -> (secret)"
    assert change.body == {"api_key": "HIDDEN-API-KEY"}


def test_secrets_are_written_on_request_and_then_there_is_no_note(
    workspace: WorkspaceState,
) -> None:
    result = compared(workspace, replace(DECLARED, writes_secrets=True))
    assert list(map(str, result.changes)) == [
        "~ source polygon: api_key: (secret) -> (secret), written",
        "~ destination snowflake: credentials.private_key: (secret) -> (secret), written",
    ]
    assert result.changes[0].body == {"api_key": "HIDDEN-API-KEY"}
    assert not result.notes


def test_a_password_that_becomes_a_key_leaves_no_password_behind(
    workspace: WorkspaceState,
) -> None:
    workspace.destinations[0]["configuration"]["credentials"] = {
        "auth_type": "Username and Password",
        "password": "**********",
    }
    [change] = compared(workspace).changes
    assert change.lines == (
        "credentials.auth_type: Username and Password -> Key Pair Authentication",
        "credentials.password: (secret) -> not set",
        "credentials.private_key: not set -> (secret)",
    )
    assert change.body["configuration"]["credentials"] == {
        "auth_type": "Key Pair Authentication",
        "private_key": "HIDDEN-PRIVATE-KEY",
    }


def test_fields_that_are_not_declared_stay(workspace: WorkspaceState) -> None:
    workspace.sources[0]["configuration"] |= {
        "start_date": "2020-01-01",
        "open_close_tickers": ["A"],
        "end_date": "2030-01-01",
    }
    workspace.destinations[0]["configuration"] |= {"retention_period_days": 3, "role": "OTHER"}
    [change] = compared(workspace).changes
    assert str(change) == "~ destination snowflake: role: OTHER -> LOADER"
    assert change.body["configuration"]["retention_period_days"] == 3


def test_other_tables_are_named_as_such(workspace: WorkspaceState) -> None:
    workspace.destinations[0]["configuration"]["database"] = "OLD"
    [change] = compared(workspace).changes
    assert str(change).startswith(
        "~ destination snowflake: database: OLD -> POLYGON (other tables, but the connections keep"
    )


def test_a_changed_manifest_names_the_stream_and_the_field(workspace: WorkspaceState) -> None:
    definition = workspace.definitions[0]
    definition["manifest"]["version"] = "6.0.0"
    last = definition["manifest"]["streams"][-1]
    last["retriever"]["requester"]["path"] = "/v1/other"
    [change] = compared(workspace).changes
    assert change.lines[0].startswith(
        "manifest.streams.daily_open_close.retriever.requester.path: /v1/other -> /v1/open-close/"
    )
    assert change.lines[1:] == (
        "manifest.version: 6.0.0 -> 7.39.1",
        "version 3 -> the next; Airbyte keeps the old one",
    )


def test_many_differences_of_a_manifest_are_counted(workspace: WorkspaceState) -> None:
    workspace.definitions[0]["manifest"]["streams"].pop()
    [change] = compared(workspace).changes
    assert len(change.lines) == 14
    assert change.lines[12].endswith(" more differences")


@pytest.mark.parametrize(
    ("schedule", "shown"),
    [
        ({"scheduleType": "cron", "cronExpression": "0 0 8 * * ? UTC"}, "cron 0 0 8 * * ? UTC"),
        ({"scheduleType": "basic", "basicTiming": "Every 24 HOURS"}, "basic Every 24 HOURS"),
    ],
)
def test_a_schedule_that_somebody_turned_on_is_turned_off_alone(
    workspace: WorkspaceState, schedule: dict[str, str], shown: str
) -> None:
    daily(workspace)["schedule"] = schedule
    [change] = compared(workspace).changes
    assert str(change) == f"~ connection polygon_daily: schedule: {shown} -> manual"
    assert change.body == {"schedule": {"scheduleType": "manual"}}


def test_a_lost_stream_is_selected_again_and_the_others_keep_their_states(
    workspace: WorkspaceState,
) -> None:
    daily(workspace)["configurations"]["streams"] = [stream(workspace, "grouped_daily")]
    [change] = compared(workspace).changes
    assert change.lines == ("stream daily_open_close: not selected -> incremental_deduped_history",)
    assert [item["name"] for item in change.body["configurations"]["streams"]] == [
        "grouped_daily",
        "daily_open_close",
    ]
    assert change.kept_states == {"grouped_daily"}


def extra(name: str, mode: str) -> Edit:
    return lambda connection: connection["configurations"]["streams"].append(
        {"name": name, "syncMode": mode}
    )


def first_stream(**fields: object) -> Edit:
    return lambda connection: connection["configurations"]["streams"][0].update(fields)


@pytest.mark.parametrize(
    ("edit", "shown"),
    [
        (first_stream(primaryKey=[["date"]]), "primaryKey date -> ticker+date"),
        (first_stream(cursorField=["other"]), "cursorField other -> date"),
        (
            first_stream(syncMode="incremental_append"),
            "syncMode incremental_append -> incremental_deduped_history",
        ),
        (extra("tickers", "incremental_append"), "stream tickers: selected, but not declared"),
        (lambda connection: connection.update(prefix="x_"), "prefix: x_ -> none"),
        (
            lambda connection: connection.update(namespaceDefinition="source"),
            "namespaceDefinition: source -> destination",
        ),
        (
            lambda connection: connection.update(status="locked", statusReason="unpaid"),
            "Airbyte has locked it (unpaid)",
        ),
    ],
)
def test_a_change_that_would_spoil_states_or_tables_is_refused_with_the_cure(
    workspace: WorkspaceState, edit: Edit, shown: str
) -> None:
    edit(daily(workspace))
    result = compared(workspace)
    [refusal] = result.refusals
    assert refusal.startswith("! connection polygon_daily: ")
    assert shown in refusal
    assert refusal.endswith(("in Airbyte", "data there"))
    assert not result.changes


def test_a_refused_stream_holds_back_the_streams_but_not_the_schedule(
    workspace: WorkspaceState,
) -> None:
    connection = daily(workspace)
    first_stream(primaryKey=[["date"]])(connection)
    connection["configurations"]["streams"].pop()
    connection["schedule"] = {"scheduleType": "cron", "cronExpression": "0 0 8 * * ?"}
    result = compared(workspace)
    [change] = result.changes
    assert change.body == {"schedule": {"scheduleType": "manual"}}
    assert result.refusals[1] == (
        "! connection polygon_daily: stream daily_open_close: not selected -> "
        "incremental_deduped_history; not changed before the stream above"
    )


@pytest.mark.parametrize(
    ("edit", "shown"),
    [
        (
            first_stream(syncMode="full_refresh_overwrite"),
            "stream grouped_daily: syncMode full_refresh_overwrite -> incremental_deduped_history "
            "(its state is deleted; the next sync reads everything)",
        ),
        (
            extra("exchanges", "full_refresh_append"),
            "stream exchanges: selected -> not selected (its table stays)",
        ),
        (
            extra("trades", "incremental_append"),
            "stream trades: selected -> not selected (the connector has no such stream; Airbyte "
            "deletes its state, its table stays)",
        ),
        (lambda connection: connection.update(status="inactive"), "status: inactive -> active"),
    ],
)
def test_a_change_that_loses_nothing_is_made_and_its_effect_named(
    workspace: WorkspaceState, edit: Edit, shown: str
) -> None:
    edit(daily(workspace))
    result = compared(workspace)
    assert [change.lines for change in result.changes] == [(shown,)]
    assert not result.refusals


def test_fields_that_airbyte_does_not_copy_are_found(workspace: WorkspaceState) -> None:
    schema = entry(workspace, "grouped_daily")["stream"]["jsonSchema"]["properties"]
    del schema["otc"]
    schema["extra"] = {"type": "string"}
    schema["date"] = {"type": ["null", "string"]}
    entry(workspace, "daily_open_close")["config"] |= {
        "fieldSelectionEnabled": True,
        "selectedFields": [{"fieldPath": ["ticker"]}, {"fieldPath": ["date"]}],
        "mappers": [{"type": "hashing", "mapperConfiguration": {}}],
    }
    [change] = compared(workspace).changes
    assert change.lines == (
        "stream grouped_daily: fields +otc, -extra, date null|string -> string date",
        "stream daily_open_close: selected fields ticker, date -> all",
        "stream daily_open_close: mappers hashing -> none",
    )
    assert change.kept_states == {"grouped_daily", "daily_open_close"}


def test_two_objects_of_one_name_are_refused_and_what_depends_on_them_waits(
    workspace: WorkspaceState,
) -> None:
    twin = workspace.sources[0] | {"sourceId": "s2"}
    result = compared(replace(workspace, sources=[*workspace.sources, twin]))
    assert result.refusals == [
        "! source polygon: 2 objects have this name (s1, s2): rename all but ours",
        "! connection polygon_reference: waits for source polygon, see above",
        "! connection polygon_daily: waits for source polygon, see above",
    ]
    assert not result.changes


def test_an_object_that_belongs_elsewhere_is_refused(workspace: WorkspaceState) -> None:
    workspace.sources[0]["definitionId"] = "other"
    assert (
        "belongs to another connector than polygon (definition other)"
        in (compared(workspace).refusals[0])
    )
    without_connector = replace(workspace, definitions=())
    assert [change.title for change in compared(without_connector).changes] == [TITLES[0]]


def test_a_connection_between_other_ends_is_refused(workspace: WorkspaceState) -> None:
    daily(workspace)["destinationId"] = "other"
    assert compared(workspace).refusals == [
        "! connection polygon_daily: does not lead from source polygon to destination snowflake: "
        "rename it or delete it"
    ]


def test_a_destination_of_another_type_is_refused(workspace: WorkspaceState) -> None:
    workspace.destinations[0]["destinationType"] = "s3"
    assert compared(workspace).refusals[0] == (
        "! destination snowflake: is of type s3: rename it or delete it"
    )


def test_objects_of_others_are_named_and_a_competing_schedule_is_a_warning(
    workspace: WorkspaceState,
) -> None:
    theirs = daily(workspace) | {"name": "theirs", "connectionId": "c9"}
    scheduled = theirs | {
        "name": "hourly",
        "schedule": {"scheduleType": "cron", "cronExpression": "0 0 * * * ?"},
    }
    paused = scheduled | {"name": "paused", "status": "inactive"}
    result = compared(
        replace(workspace, connections=[*workspace.connections, theirs, scheduled, paused])
    )
    assert not result.has_differences
    assert result.notes[:3] == [
        "not touched: connection theirs",
        "not touched: connection hourly (it syncs source polygon by itself, cron 0 0 * * * ?, and "
        "so uses the requests of the account's plan)",
        "not touched: connection paused",
    ]
