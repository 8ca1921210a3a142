"""`snowflake plan` and `apply` on the embedded server: databases and schemas, which it knows.

Warehouses, roles and users are on a model in unit/provisioning/test_snowflake_account.py.
"""

from pathlib import Path

import pytest
from click.testing import CliRunner

from polygon_assets.cli import main
from polygon_assets.clients import snowflake
from polygon_assets.commands import snowflake as snowflake_command
from polygon_assets.local.launcher.stack import running_stack


def test_an_empty_server_gets_database_and_schemas_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_stack(tmp_path, only=("snowflake",), fixed_ports=False) as stack:
        settings = stack.settings().model_copy(update={"snowflake_database": "STAGING"})
        monkeypatch.setattr(snowflake_command, "read_settings", lambda: settings)
        runs = [
            CliRunner().invoke(main, ["snowflake", *arguments])
            for arguments in (["plan"], ["apply", "--yes"], ["apply"], ["plan"])
        ]
        assert [run.exit_code for run in runs] == [2, 0, 0, 0], [run.output for run in runs]
        assert "+ create database STAGING\n+ create schema STAGING.RAW" in runs[0].output
        assert "done: schema STAGING.MARTS" in runs[1].output
        assert runs[3].output.endswith("= schema STAGING.RAW\n= schema STAGING.MARTS\n")
        assert "no warehouses, roles and users" in runs[3].output
        with snowflake.connect(settings) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE RAW.T (A INT)")
