"""The workflows of GitHub call what exists here, with no more rights than each needs.

`make deploy-check` lints the same files with checkov.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

from scripts import check_clickhouse_clients

PROJECT = Path(__file__).parents[2]
FILES = sorted((PROJECT / ".github/workflows").glob("*.yaml"))
WRITING = {
    ("release.yaml", "wheel"): {"contents": "write"},
    ("release.yaml", "images"): {"contents": "read", "id-token": "write"},
    ("infrastructure.yaml", "diff"): {"contents": "read", "id-token": "write"},
}
"""The jobs with more than a look at the code: a release, and AWS roles without a stored key."""


def content(file: Path) -> dict[Any, Any]:
    workflow: dict[Any, Any] = yaml.safe_load(file.read_text())
    return workflow


def commands(workflow: dict[Any, Any]) -> list[str]:
    return [
        line.strip()
        for job in workflow["jobs"].values()
        for step in job["steps"]
        for line in step.get("run", "").splitlines()
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_workflow_may_only_read_and_each_job_has_a_deadline(file: Path) -> None:
    workflow = content(file)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job.get("permissions") == WRITING.get((file.name, name))
        assert 0 < job["timeout-minutes"] <= 90


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_workflow_contains_a_key_or_puts_an_event_into_a_shell(file: Path) -> None:
    text = file.read_text()
    assert "secrets." not in text
    assert not any("${{" in line for line in commands(content(file)))


def test_every_make_target_that_a_workflow_calls_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    called = [
        line.split()[1] for file in FILES for line in commands(content(file)) if "make " in line
    ]
    assert set(called) == {"deploy-check", "venv"}
    assert all(f"\n{target}:" in makefile for target in called)


def test_ci_runs_the_command_of_ci() -> None:
    assert commands(content(PROJECT / ".github/workflows/ci.yaml")) == [".ci/run"]
    assert (PROJECT / ".ci/run").stat().st_mode & 0o111


def test_ci_has_the_go_that_its_modules_need() -> None:
    job = content(PROJECT / ".github/workflows/ci.yaml")["jobs"]["test"]
    [setup] = [step["with"] for step in job["steps"] if "setup-go" in step.get("uses", "")]
    needed = {
        str(file.relative_to(PROJECT)): Version(version)
        for file in (PROJECT / "scripts").rglob("go.mod")
        for version in re.findall(r"^go (\S+)$", file.read_text(), re.MULTILINE)
    }
    assert needed[setup["go-version-file"]] == max(needed.values())


def test_a_missing_tool_fails_ci_instead_of_skipping_what_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing but `dirname` is on the PATH."""
    bash, dirname = shutil.which("bash"), shutil.which("dirname")
    assert bash and dirname  # noqa: PT018
    (tmp_path / "dirname").symlink_to(dirname)
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = subprocess.run(
        [bash, PROJECT / ".ci/run"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "go is not installed" in ended.stdout
    for no_skips, code in (("", 0), ("1", 1)):
        monkeypatch.setenv("NO_SKIPS", no_skips)
        assert check_clickhouse_clients.main() == code
        assert "3 skipped" in capsys.readouterr().out


def test_the_released_images_are_those_of_the_dockerfile_and_of_the_repositories() -> None:
    job = content(PROJECT / ".github/workflows/release.yaml")["jobs"]["images"]
    [build] = [step["with"] for step in job["steps"] if "build-push" in step.get("uses", "")]
    dockerfile = (PROJECT / build["file"]).read_text()
    repositories = (PROJECT / "deploy/aws/storage.py").read_text()
    for target in job["strategy"]["matrix"]["target"]:
        assert f" AS {target}\n" in dockerfile
        assert f'"polygon-assets-{target}"' in repositories


def test_the_released_images_trust_the_database() -> None:
    steps = content(PROJECT / ".github/workflows/release.yaml")["jobs"]["images"]["steps"]
    [fetch] = [number for number, step in enumerate(steps) if "rds.crt" in step.get("run", "")]
    [build] = [number for number, step in enumerate(steps) if "build-push" in step.get("uses", "")]
    assert fetch < build
    address = steps[fetch]["run"].split()[-1]
    assert address.startswith("https://truststore.pki.rds.amazonaws.com/")
    assert address in (PROJECT / "deploy/ca/README.md").read_text()
