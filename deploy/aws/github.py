"""What GitHub's workflows may do in the account, by their identity tokens and without a stored key.

Add a workflow's role here; the workflows themselves are in `.github/workflows`.
"""

from collections.abc import Sequence

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.aws.deployment import Deployment

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
TAGS = "ref:refs/tags/v*"
"""Of the release: whoever may push such a tag may push images."""
PULL_REQUESTS = "pull_request"
LOOKUP_ROLE = "cdk-hnb659fds-lookup-role"
"""Of `cdk bootstrap`: it reads the account, for `cdk diff` and `cdk synth`."""


class Github(Construct):
    """One role that pushes images, and one that compares the stacks with a pull request."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        deployment: Deployment,
        repositories: Sequence[ecr.Repository],
    ) -> None:
        super().__init__(scope, name)
        self._repository = deployment.github_repository
        stack = Stack.of(self)
        self._provider = stack.format_arn(
            service="iam", region="", resource="oidc-provider", resource_name=ISSUER
        )
        provider = None
        if deployment.github_provider:
            provider = iam.CfnOIDCProvider(
                self, "Provider", url=f"https://{ISSUER}", client_id_list=[AUDIENCE]
            )
        push = self._role("Push", TAGS, "pushes images from tags")
        for repository in repositories:
            repository.grant_pull_push(push)
        diff = self._role("Diff", PULL_REQUESTS, "reads the stacks for pull requests")
        lookup = f"{LOOKUP_ROLE}-{deployment.account}-{deployment.region}"
        diff.add_to_policy(
            iam.PolicyStatement(
                actions=["sts:AssumeRole"],
                resources=[
                    stack.format_arn(
                        service="iam", region="", resource="role", resource_name=lookup
                    )
                ],
            )
        )
        for role in (push, diff):
            if provider is not None:
                role.node.add_dependency(provider)

    def _role(self, name: str, subject: str, purpose: str) -> iam.Role:
        role = iam.Role(
            self,
            name,
            assumed_by=iam.FederatedPrincipal(
                self._provider,
                {
                    "StringEquals": {f"{ISSUER}:aud": AUDIENCE},
                    "StringLike": {f"{ISSUER}:sub": f"repo:{self._repository}:{subject}"},
                },
                "sts:AssumeRoleWithWebIdentity",
            ),
            description=f"polygon_assets: GitHub {purpose}",
        )
        CfnOutput(Stack.of(self), f"Github{name}Role", value=role.role_arn)
        return role
