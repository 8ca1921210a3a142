"""The example deployment, synthesised once for all tests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from deploy.aws.app import BASE, SERVICES, build
from deploy.aws.deployment import Deployment, read
from deploy.aws.tests.moto_account import Account, deployed

AWS_FOLDER = Path(__file__).parents[1]
EXAMPLE = AWS_FOLDER / "deployment.example.toml"


def synthesised(deployment: Deployment, folder: Path) -> dict[str, dict[str, Any]]:
    """The templates by stack, in the order of deployment."""
    app = cdk.App(outdir=str(folder))
    build(app, deployment)
    app.synth()
    return {
        stack: json.loads((folder / f"{stack}.template.json").read_text())
        for stack in (BASE, SERVICES)
    }


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    return read(EXAMPLE)


@pytest.fixture(scope="session")
def templates(
    deployment: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    return synthesised(deployment, tmp_path_factory.mktemp("cdk"))


@pytest.fixture(scope="session")
def account(templates: dict[str, dict[str, Any]]) -> Iterator[Account]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with deployed(templates) as account:
            yield account
