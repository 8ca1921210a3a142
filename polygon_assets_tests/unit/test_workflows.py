"""The workflows of GitHub call what exists here, with no more rights than each needs.

`make deploy-check` lints the same files with checkov.
"""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
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
        for step in job.get("steps", [])
        for line in step.get("run", "").splitlines()
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_workflow_may_only_read_and_each_job_has_a_deadline(file: Path) -> None:
    workflow = content(file)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job.get("permissions") == WRITING.get((file.name, name))
        # A called workflow has its own deadline.
        assert "uses" in job or 0 < job["timeout-minutes"] <= 90


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_action_has_a_major_version_and_each_package_an_exact_one(file: Path) -> None:
    jobs = content(file)["jobs"].values()
    used = [part["uses"] for job in jobs for part in (job, *job.get("steps", [])) if "uses" in part]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+|\./\.github/workflows/\w+\.yaml", action)
    for package in re.findall(r"npx --yes (\S+)", file.read_text()):
        assert re.fullmatch(r"[\w-]+@\d+\.\d+\.\d+", package)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_failed_command_before_a_pipe_fails_the_step(file: Path) -> None:
    """GitHub's default shell has no pipefail; with `shell: bash` it has."""
    steps = [step for job in content(file)["jobs"].values() for step in job.get("steps", [])]
    piped = [step for step in steps if re.search(r"[^|]\|[^|]", step.get("run", ""))]
    assert len(piped) == (file.name == "infrastructure.yaml")
    assert all(step.get("shell") == "bash" for step in piped)


def test_a_release_waits_for_the_tests_and_has_its_version_in_wheel_and_images() -> None:
    jobs = content(PROJECT / ".github/workflows/release.yaml")["jobs"]
    assert jobs["test"]["uses"] == "./.github/workflows/ci.yaml"
    for name, build in (("wheel", "uv build"), ("images", "build-push-action")):
        assert jobs[name]["needs"] == "test"
        texts = [f"{step.get('run', '')}{step.get('uses', '')}" for step in jobs[name]["steps"]]
        [version] = [number for number, text in enumerate(texts) if "uv version" in text]
        [built] = [number for number, text in enumerate(texts) if build in text]
        assert version < built


def test_the_diff_runs_for_everything_that_the_infrastructure_imports() -> None:
    """The imports of deploy/aws and theirs, without those inside functions."""
    [patterns] = content(PROJECT / ".github/workflows/infrastructure.yaml")[True].values()
    imported = imported_files(sorted((PROJECT / "deploy/aws").glob("*.py")))
    names = [str(file.relative_to(PROJECT)) for file in imported]
    assert "polygon_assets/settings/kafka.py" in names
    workflow, *paths = patterns["paths"]
    assert workflow == ".github/workflows/infrastructure.yaml"
    for name in names:
        assert any(fnmatch(name, path) for path in paths), name
    for path in paths:
        assert any(fnmatch(name, path) for name in names), path


def imported_files(files: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += [part for module in imported_modules(file) for part in source(module)]
    return found


def imported_modules(file: Path) -> Iterator[str]:
    """Of `from a import b` both a and a.b, because b may be a module."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def source(module: str) -> list[Path]:
    """The file of a module of the project; nothing for a module of a package."""
    path = PROJECT / module.replace(".", "/")
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]


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
    monkeypatch.setenv("GOROOT", str(tmp_path))
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
