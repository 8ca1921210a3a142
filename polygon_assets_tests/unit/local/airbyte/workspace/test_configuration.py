"""Configurations: checks, masked secrets, and partial changes."""

import pytest

from polygon_assets.local.airbyte.api.problems import Problem
from polygon_assets.local.airbyte.sync import destination
from polygon_assets.local.airbyte.workspace import configuration

SNOWFLAKE = {
    "host": "org-account.snowflakecomputing.com",
    "role": "LOADER",
    "warehouse": "SMALL",
    "database": "POLYGON",
    "schema": "RAW",
    "username": "airbyte",
    "credentials": {"auth_type": "Username and Password", "password": "hush"},
}


def test_each_secret_of_the_schema_is_masked() -> None:
    shown = configuration.masked(destination.specification(), SNOWFLAKE)
    assert shown == SNOWFLAKE | {
        "credentials": {"auth_type": "Username and Password", "password": configuration.MASK}
    }


def test_a_mask_that_is_sent_back_keeps_the_old_secret() -> None:
    changed = configuration.masked(destination.specification(), SNOWFLAKE) | {"schema": "OTHER"}
    assert configuration.unmasked(changed, SNOWFLAKE) == SNOWFLAKE | {"schema": "OTHER"}


def test_a_partial_change_merges_objects_and_replaces_lists() -> None:
    old = {"credentials": {"auth_type": "a", "password": "b"}, "tickers": ["A"], "rate": 5}
    changes = {"credentials": {"password": "c"}, "tickers": ["B"]}
    assert configuration.merged(old, changes) == {
        "credentials": {"auth_type": "a", "password": "c"},
        "tickers": ["B"],
        "rate": 5,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": ""}, "configuration.host does not fit pattern"),
        ({"database": 7}, "configuration.database does not fit type: 'string'"),
        (
            {"credentials": {"auth_type": "nobody's", "password": "hush"}},
            "configuration.credentials",
        ),
    ],
)
def test_an_error_names_the_field_without_its_value(changes: dict[str, object], words: str) -> None:
    with pytest.raises(Problem) as problem:
        configuration.check(destination.specification(), SNOWFLAKE | changes)
    assert problem.value.status == 422
    assert words in problem.value.content["data"]["message"]
    assert "hush" not in str(problem.value.content)


def test_snowflakes_own_host_is_an_account() -> None:
    configuration.check(destination.specification(), SNOWFLAKE)
    settings = destination.settings_for(SNOWFLAKE)
    assert (settings.snowflake_account, settings.snowflake_host, settings.snowflake_user) == (
        "org-account",
        "",
        "airbyte",
    )
    assert (
        settings.snowflake_role,
        settings.snowflake_warehouse,
        settings.snowflake_database,
    ) == (
        "LOADER",
        "SMALL",
        "POLYGON",
    )
    assert settings.snowflake_password.get_secret_value() == "hush"


def test_another_servers_host_is_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    # The configuration takes precedence over the server's environment.
    monkeypatch.setenv("SNOWFLAKE_HOST", "elsewhere")
    configured = SNOWFLAKE | {"host": "http://127.0.0.1:8084"}
    configuration.check(destination.specification(), configured)
    settings = destination.settings_for(configured)
    assert (settings.snowflake_host, settings.snowflake_port, settings.snowflake_protocol) == (
        "127.0.0.1",
        8084,
        "http",
    )
    assert destination.settings_for(SNOWFLAKE).snowflake_host == ""
