"""Exceptions from checkov's rules: each stands beside its resource, with its reason.

Add none without a reason that holds for this resource; the reason ends up in the template.
"""

from typing import Any

from aws_cdk import CfnResource
from constructs import IConstruct


def accept(construct: IConstruct, **reasons: str) -> None:
    """Accept what the rules find in the construct's resource: `CKV_AWS_1="because …"`."""
    resource = construct if isinstance(construct, CfnResource) else construct.node.default_child
    if not isinstance(resource, CfnResource):
        raise TypeError(f"{construct.node.path} has no resource of its own")
    known: dict[str, Any] = resource.get_metadata("checkov") or {"skip": []}
    skipped = [{"id": rule, "comment": reason} for rule, reason in reasons.items()]
    resource.add_metadata("checkov", {"skip": [*known["skip"], *skipped]})
