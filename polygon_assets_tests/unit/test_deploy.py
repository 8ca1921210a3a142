"""The deployment files agree with the code: variables, start order, restarts, Dagster's processes.

No test here needs a container engine.
"""

from pathlib import Path

import yaml

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
    assert set(services["migrate"]["depends_on"]) == {"clickhouse", "kafka"}
    assert "migrate" in services["code"]["depends_on"]


def test_the_image_runs_without_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users[-1] == "app"
    assert users[0] == "app"


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
        assert services[name]["depends_on"]["code"]["condition"] == "service_healthy"
    assert all("healthcheck" in services[name] for name in commands)
    assert [
        name
        for name, service in services.items()
        if "dagster-daemon" in service.get("entrypoint", [])
    ] == ["daemon"]
