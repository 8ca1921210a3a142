"""Which variables of the shell's environment reach the embedded stack."""

import pytest

from polygon_assets.local.launcher.environment import TUNING, cleaned, is_foreign, shell_lines
from polygon_assets.local.launcher.servers import embedded_servers
from polygon_assets.settings import Settings

FOREIGN = [
    *(
        "HTTP_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "WS_PROXY",
        "socks_proxy",
        "GRPC_PROXY",
        "no_proxy",
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
    ),
    *(
        "BOTO_CONFIG",
        "SNOWFLAKE_HOME",
        "SNOWFLAKE_PRIVATE_KEY_PATH",
        "MASSIVE_API_KEY",
        "DAGSTER_HOME",
        "KAFKA_OPTS",
        "CLICKHOUSE_URL",
    ),
]


def test_every_setting_is_foreign_or_listed_as_harmless() -> None:
    for field in Settings.model_fields:
        assert is_foreign(field.upper()) != (field in TUNING), field
    assert set(TUNING) <= set(Settings.model_fields)


def test_the_stack_of_a_live_market_sets_no_setting_that_a_person_may_tune() -> None:
    set_by_stack = {name.lower() for server in embedded_servers() for name in server.variables(1)}
    assert set_by_stack & set(TUNING) == set()


@pytest.mark.parametrize("name", FOREIGN)
def test_variables_of_sdks_and_proxies_do_not_reach_the_stack(name: str) -> None:
    environment = cleaned(
        {
            name: "production",
            "PATH": "/bin",
            "LANG": "C",
            "SSL_CERT_FILE": "/ca",
            "DAILY_HISTORY_DAYS": "3",
        }
    )
    assert name not in environment
    assert {"PATH", "LANG", "SSL_CERT_FILE", "DAILY_HISTORY_DAYS"} <= environment.keys()
    assert (
        environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    )


def test_a_shell_unsets_foreign_variables_before_it_sets_those_of_the_stack() -> None:
    lines = shell_lines(
        {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        {"AWS_PROFILE": "p", "KAFKA_BOOTSTRAP_SERVERS": "prod:1", "HOME": "/root"},
    )
    assert lines[:2] == [("AWS_PROFILE", None), ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")]
