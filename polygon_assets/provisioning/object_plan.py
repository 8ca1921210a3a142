"""What `plan` prints and `apply` does for one object of a server: a role, a user, a warehouse.

Add what every such plan has in common here; the declared objects and their differences belong to
`provisioning.clickhouse` and `provisioning.snowflake`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from polygon_assets.errors import PolygonAssetsError


class ProvisioningError(PolygonAssetsError):
    """A server cannot be read or changed; the message names the statement's object and the cure."""


@dataclass(frozen=True)
class Statement:
    """SQL, and the part of it that is shown nowhere: a password's hash or a key."""

    sql: str = field(repr=False)
    secret: str = field(default="", repr=False)

    def conceal(self, text: str) -> str:
        """A server's words, which may quote the statement, without the secret."""
        return text.replace(self.secret, "***") if self.secret else text


Outcome = Literal["create", "change", "same", "left"]
_SIGNS: Mapping[Outcome, str] = {"create": "+ create ", "change": "~ ", "same": "= ", "left": "! "}


@dataclass(frozen=True)
class ObjectPlan:
    """One object, how it differs from its declaration, and the statements that remove this.

    `left` differs too, but a person must change it; the detail says why and how.
    """

    name: str
    outcome: Outcome
    details: Sequence[str] = ()
    statements: Sequence[Statement] = ()

    def __str__(self) -> str:
        details = f": {', '.join(self.details)}" if self.details else ""
        return f"{_SIGNS[self.outcome]}{self.name}{details}"

    @property
    def has_changes(self) -> bool:
        return bool(self.statements)


def differences(current: Mapping[str, str | None], declared: Mapping[str, str]) -> Iterator[str]:
    """`key: from -> to` for each declared value that is another one, or that is missing."""
    for key, value in declared.items():
        if current.get(key) != value:
            yield f"{key}: {current.get(key) or 'not set'} -> {value}"


def altered(name: str, details: Sequence[str], statements: Sequence[Statement]) -> ObjectPlan:
    """The plan of an object that exists."""
    return ObjectPlan(name, "change", details, statements) if details else ObjectPlan(name, "same")
