"""The deployment files agree with the code: variables, start order, restarts, Dagster's processes.

No test here needs a container engine.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from polygon_assets.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_compose_sets_only_variables_that_exist() -> None:
    known = {name.upper() for name in Settings.model_fields}
    assert set(COMPOSE["x-environment"]) <= known


def test_compose_values_are_usable_settings() -> None:
    values = {name.lower(): value for name, value in COMPOSE["x-environment"].items()}
    assert Settings.model_validate(values).clickhouse_secure is False


def test_compose_creates_topics_and_tables_before_the_code_server_starts() -> None:
    services = COMPOSE["services"]
    assert services["migrate"]["command"] == ["migrate"]
    assert services["migrate"]["build"]["target"] == "stream"
    assert set(services["migrate"]["depends_on"]) == {"clickhouse", "kafka"}
    assert "migrate" in services["code"]["depends_on"]


def images() -> dict[str, str]:
    """The images that compose pulls, by service."""
    return {name: one["image"] for name, one in COMPOSE["services"].items() if "image" in one}


def test_compose_pulls_one_release_of_each_image_and_the_kafka_that_the_tests_run() -> None:
    assert len(images()) == 5
    for name, image in images().items():
        tag = image.rpartition("/")[2].partition(":")[2]
        assert re.match(r"(RELEASE\.)?[0-9]+", tag), f"{name}: {image} names no release"
    libraries = (DEPLOY.parent / "polygon_assets/local/apache_kafka/pom.xml").read_text()
    [version] = re.findall(r"kafka_2\.13</artifactId>\s*<version>(.*)</version>", libraries)
    assert images()["kafka"] == f"apache/kafka:{version}"


IMAGES_OWN_FOLDERS = {"clickhouse": "/var/lib/clickhouse", "postgres": "/var/lib/postgresql/data"}
"""Where these images store without a setting; postgres up to 17."""


def test_each_volume_of_compose_is_where_its_service_stores() -> None:
    used = set[str]()
    for name, service in COMPOSE["services"].items():
        for volume in service.get("volumes", ()):
            source, folder, *_ = volume.split(":")
            if source not in COMPOSE["volumes"]:
                continue
            used.add(source)
            settings = service.get("environment", {}).values()
            chosen = {*map(str, settings), *service.get("command", ())}
            assert folder in chosen or folder == IMAGES_OWN_FOLDERS.get(name), f"{name}: {folder}"
    assert used == set(COMPOSE["volumes"])
    assert images()["postgres"] == "postgres:17"


def test_every_image_runs_as_a_numeric_user_without_rights() -> None:
    """Kubernetes' runAsNonRoot accepts only a number."""
    stages = (DEPLOY / "Dockerfile").read_text().split("\nFROM ")
    images = {stage.splitlines()[0].rpartition(" AS ")[2]: stage for stage in stages[1:]}
    for target in ("stream", "dagster", "local"):
        *_, user = (line for line in images[target].splitlines() if line.startswith("USER"))
        assert user == "USER 10001:10001"
    assert 'ENTRYPOINT ["tini", "-s", "--", "polygon-assets"]' in images["program"]


def test_every_client_in_an_image_trusts_the_authorities_of_deploy_ca() -> None:
    """Python's TLS, our clients (test_tls.py) and dagster-aws each read another variable."""
    base = (DEPLOY / "Dockerfile").read_text().split("\nFROM ")[1]
    (environment,) = re.findall(r"^ENV ((?:.*\\\n)*.*)", base, re.MULTILINE)
    values = dict(part.split("=") for part in environment.replace("\\\n", " ").split())
    assert set(values) == {"SSL_CERT_FILE", "CA_BUNDLE", "REQUESTS_CA_BUNDLE"}
    assert set(values.values()) == {"/etc/ssl/certs/ca-certificates.crt"}
    assert "ca_bundle" in Settings.model_fields


def test_dagster_verifies_its_database_with_the_authorities_of_the_image() -> None:
    on_ecs = yaml.safe_load((DEPLOY / "aws/dagster.yaml").read_text())
    on_kubernetes = yaml.safe_load((DEPLOY / "kubernetes/values.yaml").read_text())
    base = (DEPLOY / "Dockerfile").read_text().split("\nFROM ")[1]
    (trusted,) = re.findall(r"SSL_CERT_FILE=(\S+)", base)
    verified = {"sslmode": "verify-full", "sslrootcert": trusted}
    assert on_ecs["storage"]["postgres"]["postgres_db"]["params"] == verified
    assert on_kubernetes["postgresql"]["postgresqlParams"] == verified


@pytest.mark.parametrize("file", ["dagster.yaml", "aws/dagster.yaml"])
def test_each_instance_has_the_limits_of_the_one_on_a_single_machine(file: str) -> None:
    on_one_machine = yaml.safe_load((DEPLOY.parent / "dagster.yaml").read_text())
    instance = yaml.safe_load((DEPLOY / file).read_text())
    parts = ("concurrency", "run_monitoring", "run_retries", "retention", "telemetry", "nux")
    # The launcher of one machine cannot resume runs.
    resumed = instance["run_monitoring"].pop("max_resume_run_attempts", 0)
    assert resumed == {"dagster.yaml": 0, "aws/dagster.yaml": 1}[file]
    assert {part: instance[part] for part in parts} == {
        part: on_one_machine[part] for part in parts
    }


def test_compose_sets_what_dagsters_instance_reads_and_the_database_gets_the_same_login() -> None:
    home = COMPOSE["x-dagster"]["environment"]
    assert home["DAGSTER_HOME"] == "/app/deploy"
    assert "COPY deploy/dagster.yaml deploy/workspace.yaml deploy/\n" in (
        (DEPLOY / "Dockerfile").read_text()
    )
    read = re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text())
    assert read
    assert set(read) <= set(home)
    database = COMPOSE["services"]["postgres"]["environment"]
    assert (database["POSTGRES_USER"], database["POSTGRES_PASSWORD"], database["POSTGRES_DB"]) == (
        home["DAGSTER_POSTGRES_USERNAME"],
        home["DAGSTER_POSTGRES_PASSWORD"],
        home["DAGSTER_POSTGRES_DB"],
    )
    assert home["DAGSTER_POSTGRES_HOST"] in COMPOSE["services"]


def stream_requirements() -> list[Requirement]:
    lines = (DEPLOY / "stream-requirements.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_the_stream_image_has_a_part_of_the_projects_packages() -> None:
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    extras = {
        requirement.name: requirement.extras
        for requirement in map(Requirement, project["dependencies"])
    }
    for requirement in stream_requirements():
        assert extras[requirement.name] == requirement.extras
    assert not any("dagster" in requirement.name for requirement in stream_requirements())


def with_dependencies(wanted: Iterable[Requirement]) -> set[str]:
    """The names of the installed packages that these packages need, and theirs."""
    found: set[tuple[str, str]] = set()
    waiting = [
        (requirement.name, extra) for requirement in wanted for extra in ("", *requirement.extras)
    ]
    while waiting:
        name, extra = waiting.pop()
        if (canonicalize_name(name), extra) in found:
            continue
        found.add((canonicalize_name(name), extra))
        for text in metadata.requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed.name, part) for part in ("", *needed.extras)]
    return {name for name, _ in found}


IMPORT_ALL = """
import importlib, pkgutil, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
import polygon_assets.streaming
for module in pkgutil.iter_modules(polygon_assets.streaming.__path__, "polygon_assets.streaming."):
    importlib.import_module(module.name)
from polygon_assets.cli import main
main(ARGUMENTS)
"""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "Usage"),
        (["stream", "producer"], 12, "KAFKA_BOOTSTRAP_SERVERS"),
        (["stream", "archiver"], 12, "KAFKA_BOOTSTRAP_SERVERS"),
        (["migrate"], 1, "KAFKA_BOOTSTRAP_SERVERS"),
        (["health", "sink"], 1, "METRICS_PORT"),
        (["doctor"], 1, "this installation has no snowflake"),
    ],
    ids=str,
)
def test_the_stream_programs_import_nothing_that_their_image_lacks(
    arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    installed = with_dependencies(stream_requirements()) | {"polygon-assets"}
    refused = {
        module
        for module, packages in metadata.packages_distributions().items()
        if not {canonicalize_name(package) for package in packages} & installed
    }
    assert {"dagster", "pandas", "snowflake", "chdb"} <= refused
    setting = {"SNOWFLAKE_HOST": "localhost"} if arguments == ["doctor"] else {}
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            f"REFUSED, ARGUMENTS = {refused!r}, {arguments!r}\n{IMPORT_ALL}",
        ],
        env=os.environ | setting,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == code, answer.stderr
    assert words in answer.stdout + answer.stderr


ONE_SHOT = {"subscriptions", "migrate"}


def test_every_long_running_service_restarts_when_it_dies() -> None:
    assert {
        name
        for name, service in COMPOSE["services"].items()
        if service.get("restart") != "unless-stopped"
    } == ONE_SHOT


def test_dagster_has_a_code_server_a_webserver_and_exactly_one_daemon() -> None:
    services = COMPOSE["services"]
    commands = {
        name: " ".join(services[name]["entrypoint"]) for name in ("code", "webserver", "daemon")
    }
    [location] = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    assert location["grpc_server"]["host"] in services
    assert f"--port {location['grpc_server']['port']}" in commands["code"]
    assert "polygon_assets.definitions" in commands["code"]
    for name in ("webserver", "daemon"):
        assert "deploy/workspace.yaml" in commands[name]
        assert services[name]["build"]["target"] == services["code"]["build"]["target"] == "dagster"
        assert services[name]["depends_on"]["code"]["condition"] == "service_healthy"
    assert all("healthcheck" in services[name] for name in commands)
    assert [
        name
        for name, service in services.items()
        if "dagster-daemon" in service.get("entrypoint", [])
    ] == ["daemon"]
