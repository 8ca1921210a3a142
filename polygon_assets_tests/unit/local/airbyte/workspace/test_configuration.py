"""Configurations: what fits, what is shown of them, and what a partial change leaves."""

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


def test_a_secret_is_masked_wherever_the_schema_says_so() -> None:
    shown = configuration.masked(destination.specification(), SNOWFLAKE)
    assert shown == SNOWFLAKE | {
        "credentials": {"auth_type": "Username and Password", "password": configuration.MASK}
    }


def test_a_mask_that_is_sent_back_means_the_old_secret() -> None:
    changed = configuration.masked(destination.specification(), SNOWFLAKE) | {"schema": "OTHER"}
    assert configuration.unmasked(changed, SNOWFLAKE) == SNOWFLAKE | {"schema": "OTHER"}


def test_a_partial_change_goes_into_objects_and_replaces_lists() -> None:
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
def test_what_does_not_fit_is_named_without_its_value(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(Problem) as problem:
        configuration.check(destination.specification(), SNOWFLAKE | changes)
    assert problem.value.status == 422
    assert words in problem.value.content["data"]["message"]
    assert "hush" not in str(problem.value.content)


def test_snowflakes_own_host_is_an_account() -> None:
    configuration.check(destination.specification(), SNOWFLAKE)
    found = destination.settings_for(SNOWFLAKE)
    assert (found.snowflake_account, found.snowflake_host, found.snowflake_user) == (
        "org-account",
        "",
        "airbyte",
    )
    assert (found.snowflake_role, found.snowflake_warehouse, found.snowflake_database) == (
        "LOADER",
        "SMALL",
        "POLYGON",
    )
    assert found.snowflake_password.get_secret_value() == "hush"


def test_the_address_of_another_server_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # The destination is what it was configured as, whatever the server's own environment says.
    monkeypatch.setenv("SNOWFLAKE_HOST", "elsewhere")
    configured = SNOWFLAKE | {"host": "http://127.0.0.1:8084"}
    configuration.check(destination.specification(), configured)
    found = destination.settings_for(configured)
    assert (found.snowflake_host, found.snowflake_port, found.snowflake_protocol) == (
        "127.0.0.1",
        8084,
        "http",
    )
    assert destination.settings_for(SNOWFLAKE).snowflake_host == ""
