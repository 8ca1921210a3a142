"""`snowflake plan` and `apply` on a model of an account: created once, changed, never dropped.

The embedded server, which knows databases and schemas only, is in processes/test_snowflake_plan.py.
"""

import base64
import re
from pathlib import Path

import pytest
import sqlglot
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from sqlglot import exp

from polygon_assets.cli import main
from polygon_assets.clients import snowflake as snowflake_client
from polygon_assets.commands import snowflake as snowflake_command
from polygon_assets.provisioning.object_plan import ProvisioningError
from polygon_assets.provisioning.snowflake.differences import identifier, text
from polygon_assets.provisioning.snowflake.public_keys import read_keys
from polygon_assets.settings import Settings
from polygon_assets_tests.snowflake_account import Account

OBJECTS = 14
"""Monitor, warehouse, database, two schemas, three roles, their rights and users."""


def public_key() -> tuple[str, str]:
    """A new key as a PEM file has it, and its base64."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode(), base64.b64encode(der).decode()


KEYS = [public_key() for _ in range(3)]
BODIES = [body for _, body in KEYS]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr(snowflake_client, "connect", account.connect)
    return account


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> "Runner":
    return Runner(monkeypatch)


class Runner:
    """Runs the command with settings; its output must show no key."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.settings = Settings(
            snowflake_account="ORG-ACCOUNT",
            snowflake_public_keys=f"transformer={BODIES[0]};loader={BODIES[1]};reader={BODIES[2]}",
        )

    def change(self, **values: object) -> None:
        self.settings = self.settings.model_copy(update=values)

    def __call__(self, *arguments: str) -> Result:
        self._monkeypatch.setattr(snowflake_command, "read_settings", lambda: self.settings)
        result = CliRunner().invoke(main, ["snowflake", *arguments])
        assert not any(body in result.output for body in BODIES)
        return result


def lines(result: Result, sign: str) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith(sign)]


def test_an_empty_account_gets_everything_once_and_a_second_apply_changes_nothing(
    account: Account, run: Runner
) -> None:
    planned = run("plan")
    assert planned.exit_code == 2
    assert len(lines(planned, "+ ")) + len(lines(planned, "~ ")) == OBJECTS
    assert account.statements == []
    applied = run("apply", "--yes")
    assert (applied.exit_code, len(lines(applied, "done: "))) == (0, OBJECTS), applied.output
    assert account.role == "ACCOUNTADMIN"
    made, account.statements = account.statements, []
    again = run("apply")
    assert (again.exit_code, account.statements) == (0, []), again.output
    assert len(lines(again, "= ")) == OBJECTS
    assert not any(re.search(r"\b(DROP|REVOKE|REPLACE|UNSET)\b", sql) for sql in made)


def test_every_statement_is_snowflakes_as_far_as_sqlglot_knows_it(
    account: Account, run: Runner
) -> None:
    run("apply", "--yes")
    kinds = {}
    for sql in account.statements:
        [tree] = sqlglot.parse(sql, read="snowflake")
        kinds[" ".join(sql.split()[:2])] = type(tree)
    # sqlglot takes the others unread, as a Command: their forms are checked by the model alone.
    assert {kind for kind, tree in kinds.items() if tree is exp.Create} >= {
        "CREATE DATABASE",
        "CREATE SCHEMA",
        "CREATE WAREHOUSE",
    }


def test_each_role_gets_the_least_that_it_needs(account: Account, run: Runner) -> None:
    run("apply", "--yes")
    rights: dict[str, set[str]] = {}
    for role, privilege, kind, name in account.grants:
        rights.setdefault(role, set()).add(f"{privilege} {kind} {name}")
    assert rights["POLYGON_READER"] == {
        "USAGE WAREHOUSE POLYGON_WH",
        "USAGE DATABASE POLYGON",
        "USAGE SCHEMA POLYGON.MARTS",
    }
    assert not any("MARTS" in right for right in rights["POLYGON_LOADER"])
    assert account.future == [
        ("POLYGON_LOADER", "OWNERSHIP", "TABLE", "POLYGON.RAW"),
        ("POLYGON_READER", "SELECT", "TABLE", "POLYGON.MARTS"),
        ("POLYGON_READER", "SELECT", "VIEW", "POLYGON.MARTS"),
    ]
    assert account.roles["POLYGON_LOADER"] == [
        ("ROLE", "SYSADMIN"),
        ("ROLE", "POLYGON_TRANSFORMER"),
        ("USER", "POLYGON_AIRBYTE"),
    ]
    assert account.users["POLYGON_DAGSTER"] == {
        "TYPE": "SERVICE",
        "DEFAULT_ROLE": "POLYGON_TRANSFORMER",
        "DEFAULT_WAREHOUSE": "POLYGON_WH",
        "RSA_PUBLIC_KEY": BODIES[0],
    }


def test_changes_are_shown_from_and_to_and_made(account: Account, run: Runner) -> None:
    run("apply", "--yes")
    account.monitors["POLYGON_MONITOR"] |= {"notify_at": "50%,75%", "frequency": "DAILY"}
    run.change(
        snowflake_warehouse_size="SMALL",
        snowflake_credit_quota=70,
        snowflake_auto_suspend_seconds=120,
    )
    assert lines(run("plan"), "~ ") == [
        "~ resource monitor POLYGON_MONITOR: credits a month: 50 -> 70, notify at: + 80%, "
        "frequency: DAILY -> MONTHLY",
        "~ warehouse POLYGON_WH: WAREHOUSE_SIZE: XSMALL -> SMALL, AUTO_SUSPEND: 60 -> 120",
    ]
    assert run("apply", "--yes").exit_code == 0
    assert account.monitors["POLYGON_MONITOR"]["notify_at"] == "50%,75%,80%"
    assert run("plan").exit_code == 0


def test_a_warehouse_of_a_person_is_only_limited(account: Account, run: Runner) -> None:
    account.warehouses["POLYGON_WH"] = {
        "WAREHOUSE_SIZE": "XSMALL",
        "AUTO_SUSPEND": "600",
        "AUTO_RESUME": "FALSE",
    }
    [line] = lines(run("plan"), "~ warehouse")
    assert line.endswith(
        "AUTO_SUSPEND: 600 -> 60, AUTO_RESUME: FALSE -> TRUE, "
        "RESOURCE_MONITOR: null -> POLYGON_MONITOR"
    )
    assert run("apply", "--yes").exit_code == 0
    assert run("plan").exit_code == 0


def test_a_new_key_goes_to_the_free_slot_and_the_old_one_stays(
    account: Account, run: Runner, tmp_path: Path
) -> None:
    run("apply", "--yes")
    pem, body = public_key()
    file = tmp_path / "new.pub"
    file.write_text(pem)
    option = ("--public-key", f"transformer={file}")
    [line] = lines(run("plan", *option), "~ ")
    assert re.fullmatch(
        r"~ user POLYGON_DAGSTER: RSA_PUBLIC_KEY_2: not set -> SHA256:\S+=", line
    ), line
    assert run("apply", "--yes", *option).exit_code == 0
    user = account.users["POLYGON_DAGSTER"]
    assert (user["RSA_PUBLIC_KEY"], user["RSA_PUBLIC_KEY_2"]) == (BODIES[0], body)
    again = run("apply", *option)
    assert again.exit_code == 0
    [line] = lines(again, "= user POLYGON_DAGSTER")
    assert 'ALTER USER "POLYGON_DAGSTER" UNSET RSA_PUBLIC_KEY' in line
    del user["RSA_PUBLIC_KEY"]
    assert lines(run("plan", *option), "= user POLYGON_DAGSTER") == ["= user POLYGON_DAGSTER"]


def test_a_third_key_is_left_to_a_person(account: Account, run: Runner) -> None:
    run("apply", "--yes")
    account.users["POLYGON_DAGSTER"]["RSA_PUBLIC_KEY_2"] = BODIES[1]
    result = run("apply", "--yes", "--public-key", f"transformer={BODIES[2]}")
    assert result.exit_code == 2
    [line] = lines(result, "! user POLYGON_DAGSTER")
    assert "both slots hold other keys" in line
    assert account.users["POLYGON_DAGSTER"]["RSA_PUBLIC_KEY"] == BODIES[0]


def test_a_person_of_that_name_becomes_a_service(account: Account, run: Runner) -> None:
    account.users["POLYGON_DAGSTER"] = {"DEFAULT_ROLE": "PUBLIC"}
    [line] = lines(run("plan"), "~ user POLYGON_DAGSTER")
    assert "TYPE: PERSON -> SERVICE, DEFAULT_ROLE: PUBLIC -> POLYGON_TRANSFORMER" in line
    assert run("apply", "--yes").exit_code == 0
    assert run("plan").exit_code == 0


def test_tables_that_exist_become_readable_and_those_of_another_owner_stay(
    account: Account, run: Runner
) -> None:
    run("apply", "--yes")
    for schema, name, owner in (
        ("MARTS", "DIM_TICKER", "POLYGON_TRANSFORMER"),
        ("MARTS", "FACT", "POLYGON_TRANSFORMER"),
        ("RAW", "TICKERS", "OLD_ROLE"),
    ):
        account.relations.append(
            {"kind": "TABLE", "database": "POLYGON", "schema": schema, "name": name, "owner": owner}
        )
    account.grants.append(("POLYGON_READER", "SELECT", "TABLE", "POLYGON.MARTS.FACT"))
    result = run("apply", "--yes")
    assert lines(result, "~ ") == [
        "~ rights of role POLYGON_READER: + SELECT ON 1 of 2 TABLES IN POLYGON.MARTS"
    ]
    [line] = lines(result, "! ")
    assert "tables of schema POLYGON.RAW: some are owned by OLD_ROLE" in line
    assert result.exit_code == 2
    assert not lines(run("plan"), "~ ")


def test_a_user_without_a_key_is_left_alone(account: Account, run: Runner) -> None:
    run.change(snowflake_public_keys="")
    result = run("apply", "--yes")
    assert result.exit_code == 0
    assert account.users == {}
    assert lines(result, "= user POLYGON_DASHBOARDS") == [
        "= user POLYGON_DASHBOARDS: not created, because SNOWFLAKE_PUBLIC_KEYS has no key for it"
    ]


def test_two_environments_fit_into_one_account(account: Account, run: Runner) -> None:
    run("apply", "--yes")
    run.change(snowflake_database="polygon_staging")
    assert run("apply", "--yes").exit_code == 0
    assert {"POLYGON_LOADER", "POLYGON_STAGING_LOADER"} <= account.roles.keys()
    assert run("plan").exit_code == 0
    run.change(snowflake_database="POLYGON")
    assert run("plan").exit_code == 0


def test_an_error_names_the_object_and_shows_no_key(account: Account, run: Runner) -> None:
    account.forbidden = "CREATE USER"
    result = run("apply", "--yes")
    assert result.exit_code == 1
    assert "Error: user POLYGON_DAGSTER: " in result.output
    assert "RSA_PUBLIC_KEY = '***'" in result.output
    account.forbidden = ""
    assert run("apply", "--yes").exit_code == 0
    assert run("plan").exit_code == 0


def private_key_file(path: Path) -> Path:
    key = rsa.generate_private_key(65537, 2048)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("dagster=x.pub", "'dagster' names no role"),
        ("loader=", "'loader' names no role"),
        ("loader=/no/such/file", "neither a key nor a readable file"),
    ],
)
def test_an_unusable_key_is_refused_with_the_cure(entry: str, words: str) -> None:
    with pytest.raises(ProvisioningError, match=words):
        read_keys([entry], ["loader"])


def test_a_private_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    file = private_key_file(tmp_path / "key.pem")
    with pytest.raises(ProvisioningError, match="is no RSA public key") as error:
        read_keys([f"loader={file}"], ["loader"])
    assert not any(line in str(error.value) for line in file.read_text().splitlines())


def test_names_and_texts_are_quoted() -> None:
    assert identifier('A"B') == '"A""B"'
    assert text("it's a \\") == "'it\\'s a \\\\'"
