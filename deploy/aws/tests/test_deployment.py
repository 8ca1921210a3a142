"""The deployment file: an unusable value is refused with its name, before the synthesis."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from deploy.aws.deployment import Deployment, DeploymentError, read
from deploy.aws.task_definitions import StopTimeoutError, stop_seconds
from deploy.aws.tests.conftest import AWS_FOLDER, EXAMPLE


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = EXAMPLE.read_text()
    assert old in text
    file = tmp_path / "deployment.toml"
    file.write_text(text.replace(old, new))
    return file


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('PRODUCER_COPIES = "2"', 'PRODUCER_COPIES = "two"', "producer_copies"),
        ('PRODUCER_COPIES = "2"', 'PRODUCER_COPY = "2"', "PRODUCER_COPY is no variable"),
        ('PRODUCER_COPIES = "2"', 'CLICKHOUSE_PASSWORD = "x"', "CLICKHOUSE_PASSWORD is a secret"),
        ('PRODUCER_COPIES = "2"', 'ECS_CLUSTER = "x"', "ECS_CLUSTER is set by"),
        ("sinks_at_most = 3", "sinks_at_most = 7", "sinks_at_most = 7 must lie between"),
        ('PRODUCER_COPIES = "2"', 'SINK_COPIES = "4"', "SINK_COPIES = 4 and KAFKA_PARTITIONS = 6"),
        ('PRODUCER_COPIES = "2"', 'FILTER_COPIES = "7"', "FILTER_COPIES=7 is more than KAFKA_P"),
        ('PRODUCER_COPIES = "2"', 'ECS_TASK_SIZES = "sink=9:9"', "sink: 9 vCPU is no size"),
        ('account = "123456789012"', 'account = "12"', "account"),
        ('kafka = "msk"', 'kafka = "kinesis"', "kafka"),
        ("zones =", "zone =", "zone"),
        ('"example/polygon_assets"', '"example/*"', "github_repository"),
    ],
)
def test_an_unusable_value_is_refused_with_its_name(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    with pytest.raises(DeploymentError, match=named):
        read(changed(tmp_path, old, new))


def test_a_missing_file_names_the_example(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"deployment\.example\.toml"):
        read(tmp_path / "none.toml")


def test_a_longer_draining_than_fargate_allows_is_refused() -> None:
    assert stop_seconds(10.0) > 10
    with pytest.raises(StopTimeoutError, match="DRAIN_SECONDS=110"):
        stop_seconds(110.0)


def test_programs_see_the_values_of_the_file(deployment: Deployment) -> None:
    assert deployment.settings.producer_copies == 2
    assert deployment.settings.polygon_requests_per_minute == 0


def test_a_variable_of_the_shell_that_deploys_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUBSCRIPTIONS_KEY", "of_the_shell.csv")
    monkeypatch.setenv("PRODUCER_COPIES", "9")
    settings = read(EXAMPLE).settings
    assert (settings.subscriptions_key, settings.producer_copies) == ("subscriptions.csv", 2)


def test_the_command_of_cdk_json_synthesises_where_cdk_looks(tmp_path: Path) -> None:
    command = json.loads((AWS_FOLDER / "cdk.json").read_text())["app"]
    # As `cdk` runs it: in the folder of cdk.json, with a path that is relative to it.
    output = os.path.relpath(tmp_path, AWS_FOLDER)
    context = json.dumps({"deployment": EXAMPLE.name})
    subprocess.run(
        command,
        shell=True,
        cwd=AWS_FOLDER,
        env={**os.environ, "CDK_OUTDIR": output, "CDK_CONTEXT_JSON": context},
        check=True,
        timeout=120,
    )
    assert (tmp_path / "manifest.json").exists()
