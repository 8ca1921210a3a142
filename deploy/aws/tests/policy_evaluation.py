"""AWS's rules for one request: may a principal do it, by its own policies and the resource's?

Add an operator of a condition here, as AWS documents it; which requests are asked belongs to the
tests. Only what the project's policies use is known, and everything else is an error.
"""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Statement = Mapping[str, Any]
TLS = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}


@dataclass(frozen=True)
class Request:
    """One call to AWS."""

    principal: str
    """ARN of a role or of an identity provider, or a service such as `cloudwatch.amazonaws.com`."""
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=lambda: TLS)


def is_allowed(
    request: Request, own: Iterable[Statement], of_resource: Iterable[Statement]
) -> bool:
    """Within one account: no policy denies it, and one of the two allows it.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
    """
    matching = [
        *(one for one in own if _matches(one, request)),
        *(one for one in of_resource if _is_for(one, request) and _matches(one, request)),
    ]
    effects = {statement["Effect"] for statement in matching}
    return effects == {"Allow"}


def _matches(statement: Statement, request: Request) -> bool:
    unknown = set(statement) - {"Sid", "Effect", "Action", "Resource", "Principal", "Condition"}
    assert not unknown, f"statements with {unknown} are not evaluated here"
    return (
        any(_like(pattern, request.action) for pattern in _list(statement["Action"]))
        and any(_like(pattern, request.resource) for pattern in _list(statement["Resource"]))
        and all(
            _holds(operator, key, _list(values), request)
            for operator, by_key in statement.get("Condition", {}).items()
            for key, values in by_key.items()
        )
    )


def _is_for(statement: Statement, request: Request) -> bool:
    principal = statement["Principal"]
    if principal == "*":
        return True
    assert set(principal) <= {"AWS", "Service", "Federated"}, f"{principal} is not evaluated here"
    return any(
        name in ("*", request.principal) for names in principal.values() for name in _list(names)
    )


def _holds(operator: str, key: str, values: list[str], request: Request) -> bool:
    """A condition on a key that the request does not have is false."""
    actual = request.context.get(key)
    if actual is None:
        return False
    if operator in ("StringEquals", "ArnEquals", "Bool"):
        return actual in values
    if operator == "StringLike":
        return any(_like(value, actual) for value in values)
    assert operator == "NumericLessThan", f"{operator} is not evaluated here"
    return any(float(actual) < float(value) for value in values)


def _like(pattern: str, text: str) -> bool:
    """`*` and `?` as in policies; brackets, which fnmatch knows, mean themselves."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
