"""The CDK app: the two stacks of one deployment, with their tags.

`cdk` runs it in this folder (cdk.json; `-P`, because secrets.py here would hide Python's). In the
root `python -m deploy.aws.app --output FOLDER` does, which needs no Node package. The context
`deployment` names another file than deployment.toml.
"""

import argparse
import sys
from pathlib import Path

import aws_cdk as cdk

from deploy.aws.base_stack import BaseStack
from deploy.aws.budget import PROJECT, PROJECT_TAG
from deploy.aws.deployment import Deployment, DeploymentError, read
from deploy.aws.services_stack import ServicesStack

FILE = Path(__file__).with_name("deployment.toml")
BASE, SERVICES = "polygon-assets-base", "polygon-assets-services"


def build(app: cdk.App, deployment: Deployment) -> tuple[BaseStack, ServicesStack]:
    """Both stacks, in the account and region of the deployment."""
    place = cdk.Environment(account=deployment.account, region=deployment.region)
    base = BaseStack(app, BASE, deployment, env=place, description="polygon_assets: what lasts")
    services = ServicesStack(
        app, SERVICES, base, deployment, env=place, description="polygon_assets: what runs"
    )
    cdk.Tags.of(app).add(PROJECT_TAG, PROJECT)
    return base, services


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployment", type=Path, help="the deployment file")
    parser.add_argument("--output", help="folder of the templates; cdk names its own")
    arguments = parser.parse_args()
    app = cdk.App(outdir=arguments.output)
    context = app.node.try_get_context("deployment")
    file = arguments.deployment or (Path(context) if context else FILE)
    try:
        build(app, read(file))
    except DeploymentError as error:
        sys.exit(str(error))
    app.synth()


if __name__ == "__main__":
    main()
