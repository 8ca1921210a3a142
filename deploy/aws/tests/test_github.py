"""GitHub's two roles: which workflow gets them, and what it may do with each."""

from typing import Any

import pytest

from deploy.aws.app import BASE
from deploy.aws.deployment import Deployment
from deploy.aws.github import AUDIENCE, ISSUER
from deploy.aws.tests.policy_evaluation import Request, is_allowed
from deploy.aws.tests.test_templates import Templates

ACTION = "sts:AssumeRoleWithWebIdentity"
OURS = "repo:example/polygon_assets"


def of_github(templates: Templates, role: str, kind: str) -> dict[str, Any]:
    [found] = [
        resource["Properties"]
        for name, resource in templates[BASE]["Resources"].items()
        if name.startswith(f"Github{role}") and resource["Type"] == kind
    ]
    properties: dict[str, Any] = found
    return properties


def trusts(templates: Templates, role: str, subject: str, audience: str = AUDIENCE) -> bool:
    trust = of_github(templates, role, "AWS::IAM::Role")["AssumeRolePolicyDocument"]
    [statement] = trust["Statement"]
    assert f":oidc-provider/{ISSUER}" in str(statement["Principal"]["Federated"])
    evaluated = {**statement, "Principal": {"Federated": ISSUER}, "Resource": "*"}
    context = {f"{ISSUER}:sub": subject, f"{ISSUER}:aud": audience}
    return is_allowed(Request(ISSUER, ACTION, "*", context), [], [evaluated])


@pytest.mark.parametrize(
    ("role", "subject"),
    [("Push", f"{OURS}:ref:refs/tags/v1.2.3"), ("Diff", f"{OURS}:pull_request")],
)
def test_a_workflow_of_the_repository_gets_its_role(
    templates: Templates, role: str, subject: str
) -> None:
    assert trusts(templates, role, subject)
    assert not trusts(templates, role, subject, audience="https://github.com/example")
    assert not trusts(templates, role, subject.replace("polygon_assets", "another"))
    assert not trusts(templates, role, subject.replace("example/", "stranger/"))


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        ("Push", f"{OURS}:ref:refs/heads/main"),
        ("Push", f"{OURS}:pull_request"),
        ("Push", f"{OURS}:ref:refs/tags/1.2.3"),
        ("Diff", f"{OURS}:ref:refs/tags/v1.2.3"),
        ("Diff", f"{OURS}:ref:refs/heads/main"),
    ],
)
def test_no_other_workflow_gets_it(templates: Templates, role: str, subject: str) -> None:
    assert not trusts(templates, role, subject)


def test_a_push_reaches_the_two_repositories_only(templates: Templates) -> None:
    policy = of_github(templates, "Push", "AWS::IAM::Policy")["PolicyDocument"]["Statement"]
    by_resource: dict[str, set[str]] = {}
    for statement in policy:
        actions = statement["Action"]
        names = {actions} if isinstance(actions, str) else set(actions)
        by_resource.setdefault(str(statement["Resource"]), set()).update(names)
    assert by_resource.pop("*") == {"ecr:GetAuthorizationToken"}
    assert len(by_resource) == 2
    for resource, actions in by_resource.items():
        assert "Images" in resource
        assert {"ecr:PutImage", "ecr:UploadLayerPart"} <= actions
        assert not any("Delete" in action for action in actions)


def test_a_diff_may_only_read(templates: Templates, deployment: Deployment) -> None:
    policy = of_github(templates, "Diff", "AWS::IAM::Policy")["PolicyDocument"]["Statement"]
    [statement] = policy
    assert statement["Action"] == "sts:AssumeRole"
    place = f"{deployment.account}-{deployment.region}"
    assert f"role/cdk-hnb659fds-lookup-role-{place}" in str(statement["Resource"])
