"""The deployment files agree with the code: variables, topics, extras. Nothing here needs a container engine."""

from pathlib import Path

import yaml

from polygon_assets.messages import TOPICS
from polygon_assets.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_compose_sets_only_variables_that_exist() -> None:
    known = {name.upper() for name in Settings.model_fields}
    assert set(COMPOSE["x-environment"]) <= known


def test_compose_values_are_usable_settings() -> None:
    values = {name.lower(): value for name, value in COMPOSE["x-environment"].items()}
    assert Settings.model_validate(values).clickhouse_secure is False


def test_compose_creates_every_topic_with_six_partitions() -> None:
    script = COMPOSE["services"]["topics"]["entrypoint"][-1]
    created = [line.split()[2] for line in script.splitlines() if line.startswith("topic --topic")]
    assert sorted(created) == sorted(TOPICS)
    assert "--partitions 6" in script


def test_the_image_runs_without_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users[-1] == "app"
    assert users[0] == "app"
