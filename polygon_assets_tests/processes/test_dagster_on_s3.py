"""The compute logs of deploy/aws/dagster.yaml: dagster-aws writes a run's output to S3.

The rest of that file belongs to the test of the instance on PostgreSQL.
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from polygon_assets.clients import s3
from polygon_assets.local.launcher.stack import Stack, running_stack

PROJECT = Path(__file__).parents[2]
BUCKET = "dagster-logs"


@dg.op
def shout() -> None:
    print("a line of the op")  # noqa: T201  # what the test looks for


@dg.job
def shouting() -> None:
    shout()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running_stack(tmp_path / "stack", only=("s3",), fixed_ports=False) as running:
        yield running


def test_a_runs_output_is_in_the_bucket_of_the_instance_file(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (stack.environment() | {"DAGSTER_LOGS_BUCKET": BUCKET}).items():
        monkeypatch.setenv(name, value)
    settings = stack.settings()
    client = s3.connect(settings)
    client.create_bucket(Bucket=BUCKET)
    shipped = yaml.safe_load((PROJECT / "deploy/aws/dagster.yaml").read_text())
    logs = shipped["compute_logs"] | {
        "config": shipped["compute_logs"]["config"] | {"local_dir": str(tmp_path / "logs")}
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"compute_logs": logs}))

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert shouting.execute_in_process(instance=instance).success

    keys = [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    [output] = [key for key in keys if key.startswith("runs/") and key.endswith(".out")]
    text = client.get_object(Bucket=BUCKET, Key=output)["Body"].read().decode()
    assert "a line of the op" in text
