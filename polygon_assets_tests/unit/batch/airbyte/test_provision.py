"""The configurations of source and destination, made from settings alone.

Provisioning a workspace over its API belongs to processes/test_airbyte_api.py.
"""

import datetime as dt
import json

from pydantic import SecretStr

from polygon_assets.batch.airbyte.connector import manifest
from polygon_assets.batch.airbyte.declaration import (
    destination_configuration,
    source_configuration,
)
from polygon_assets.settings import Settings

CLOUD = Settings(
    polygon_api_key=SecretStr("k"),
    snowflake_account="ORG-ACCOUNT",
    snowflake_user="AIRBYTE",
    snowflake_private_key=SecretStr("pem"),
    snowflake_role="LOADER",
    snowflake_warehouse="SMALL",
)


def test_a_snowflake_account_gives_the_host_and_the_private_key_logs_in() -> None:
    assert destination_configuration(CLOUD) == {
        "host": "ORG-ACCOUNT.snowflakecomputing.com",
        "role": "LOADER",
        "warehouse": "SMALL",
        "database": "POLYGON",
        "schema": "RAW",
        "username": "AIRBYTE",
        "credentials": {"auth_type": "Key Pair Authentication", "private_key": "pem"},
    }


def test_airbyte_logs_in_with_a_loader_of_its_own_where_one_is_set() -> None:
    loader = CLOUD.model_copy(
        update={
            "snowflake_loader_user": "POLYGON_AIRBYTE",
            "snowflake_loader_private_key": SecretStr("loader pem"),
            "snowflake_loader_role": "POLYGON_LOADER",
        }
    )
    assert destination_configuration(loader) == destination_configuration(CLOUD) | {
        "role": "POLYGON_LOADER",
        "username": "POLYGON_AIRBYTE",
        "credentials": {"auth_type": "Key Pair Authentication", "private_key": "loader pem"},
    }


def test_a_host_setting_gives_the_address_of_another_server() -> None:
    local = CLOUD.model_copy(
        update={
            "snowflake_host": "127.0.0.1",
            "snowflake_port": 8084,
            "snowflake_protocol": "http",
            "snowflake_private_key": SecretStr(""),
        }
    )
    configuration = destination_configuration(
        local.model_copy(update={"snowflake_password": SecretStr("p")})
    )
    assert configuration["host"] == "http://127.0.0.1:8084"
    assert configuration["credentials"] == {
        "auth_type": "Username and Password",
        "password": "p",
    }


def test_the_source_configuration_has_the_fields_of_the_connectors_specification() -> None:
    configuration = source_configuration(CLOUD, dt.date(2026, 11, 2))
    specification = manifest()["spec"]["connection_specification"]
    assert configuration.keys() <= specification["properties"].keys()
    assert set(specification["required"]) <= configuration.keys()
    names = ("api_key", "start_date", "requests_per_minute")
    assert [configuration[name] for name in names] == ["k", "2026-11-02", 5]


def test_the_manifest_survives_json() -> None:
    assert json.loads(json.dumps(manifest())) == manifest()
