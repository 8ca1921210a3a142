"""The differences between the declared topics, rights and quotas and a cluster: pure functions.

Add a difference here; the declaration belongs to `topics`, and reading or changing the cluster to
`kafka_cluster`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.topics import ROLES, SHARED_TOPICS, Right, Topic

MOVED_KEYS = (
    "with more partitions most symbols change theirs, so a symbol's newer messages may be read "
    "before older ones that still wait; no table depends on that order, but raise partitions "
    "outside sessions (docs/kafka.md)"
)


class PrincipalsError(PolygonAssetsError):
    """KAFKA_PRINCIPALS or `--principal` cannot be used; the message names the entry."""


@dataclass(frozen=True)
class Declaration:
    """What the cluster should have."""

    topics: Sequence[Topic]
    replication_factor: int = 0
    """0: the brokers choose, and any factor is right."""
    principals: Mapping[str, str] = field(default_factory=dict)
    """By role, the Kafka user whose rights and quotas are compared; the others are left alone."""


@dataclass(frozen=True)
class TopicState:
    """A topic of the cluster; `configs` are the values in force, the defaults included."""

    partitions: int
    replication_factor: int
    configs: Mapping[str, str | None]


@dataclass(frozen=True)
class ClusterState:
    """What the cluster has; rights and quotas are read for the declared principals only."""

    topics: Mapping[str, TopicState]
    rights: Mapping[str, frozenset[Right]] | None = None
    """By principal; None where the cluster has no rights to manage."""
    quotas: Mapping[str, Mapping[str, float]] | None = None
    """By principal; None where the cluster has no quotas to manage."""
    notes: Sequence[str] = ()
    """Why rights or quotas are not compared."""


@dataclass(frozen=True)
class CreateTopic:
    """A declared topic that is missing."""

    topic: Topic
    replication_factor: int

    def __str__(self) -> str:
        copies = self.replication_factor or "the brokers' default"
        configs = ", ".join(f"{key}={value}" for key, value in self.topic.configs.items())
        return (
            f"+ create topic {self.topic.name}: {self.topic.partitions} partitions, "
            f"replication factor {copies}, {configs}"
        )


@dataclass(frozen=True)
class RaisePartitions:
    """A topic with fewer partitions than declared."""

    topic: str
    partitions: int
    declared: int

    def __str__(self) -> str:
        return f"~ topic {self.topic}: partitions {self.partitions} -> {self.declared}"


@dataclass(frozen=True)
class SetConfig:
    """A configuration entry with another value than declared."""

    topic: str
    key: str
    value: str | None
    declared: str

    def __str__(self) -> str:
        value = "not set" if self.value is None else self.value
        return f"~ topic {self.topic}: {self.key} {value} -> {self.declared}"


@dataclass(frozen=True)
class AddRight:
    """A right that a principal lacks."""

    principal: str
    right: Right

    def __str__(self) -> str:
        return f"+ allow {self.principal} {self.right}"


@dataclass(frozen=True)
class SetQuota:
    """A client quota with another value than declared; each broker enforces it by itself."""

    principal: str
    key: str
    value: float | None
    declared: float

    def __str__(self) -> str:
        value = "not set" if self.value is None else f"{self.value:.0f}"
        return f"~ quota of {self.principal}: {self.key} {value} -> {self.declared:.0f}"


Change = CreateTopic | RaisePartitions | SetConfig | AddRight | SetQuota


@dataclass(frozen=True)
class Plan:
    """What `apply` changes, and the differences that it leaves to a person."""

    changes: Sequence[Change]
    refusals: Sequence[str]
    notes: Sequence[str] = ()
    """What a change brings with it that its line does not say."""

    @property
    def has_differences(self) -> bool:
        return bool(self.changes or self.refusals)


def parse_principals(entries: Sequence[str]) -> dict[str, str]:
    """`ROLE=PRINCIPAL` entries by role; a later entry of a role wins. Raises PrincipalsError."""
    principals = {}
    for entry in entries:
        role, _, principal = (part.strip() for part in entry.partition("="))
        if role not in ROLES or ":" not in principal.strip(":"):
            raise PrincipalsError(
                f"{entry!r} names no Kafka user: write ROLE=PRINCIPAL such as producer=User:sa-1, "
                f"with a role of {', '.join(ROLES)}"
            )
        principals[role] = principal
    return principals


def plan(declaration: Declaration, cluster: ClusterState) -> Plan:
    """Every difference, in the order in which it is applied."""
    changes: list[Change] = []
    refusals: list[str] = []
    for topic in declaration.topics:
        state = cluster.topics.get(topic.name)
        if state is None:
            changes.append(CreateTopic(topic, declaration.replication_factor))
        else:
            changes += _topic_changes(topic, state)
            refusals += _topic_refusals(topic, state, declaration.replication_factor)
    changes += _missing_rights(declaration.principals, cluster.rights)
    changes += _other_quotas(declaration.principals, cluster.quotas)
    is_raised = any(isinstance(change, RaisePartitions) for change in changes)
    return Plan(changes, refusals, [MOVED_KEYS] if is_raised else [])


def _topic_changes(topic: Topic, state: TopicState) -> Iterator[Change]:
    if state.partitions < topic.partitions:
        yield RaisePartitions(topic.name, state.partitions, topic.partitions)
    for key, declared in topic.configs.items():
        if (value := state.configs.get(key)) != declared:
            yield SetConfig(topic.name, key, value, declared)


def _topic_refusals(topic: Topic, state: TopicState, replication_factor: int) -> Iterator[str]:
    if state.partitions > topic.partitions:
        setting = "KAFKA_PARTITIONS" if topic.name in SHARED_TOPICS else "the number in topics.py"
        yield (
            f"! topic {topic.name}: {state.partitions} partitions, declared {topic.partitions}; "
            "not changed, because Kafka cannot remove partitions: delete the topic and create it "
            f"again, which loses its messages, or raise {setting}"
        )
    if replication_factor and state.replication_factor != replication_factor:
        yield (
            f"! topic {topic.name}: replication factor {state.replication_factor}, "
            f"KAFKA_REPLICATION_FACTOR={replication_factor}; not changed, because moving every "
            "copy is a reassignment that an administrator schedules (kafka-reassign-partitions)"
        )


def _missing_rights(
    principals: Mapping[str, str], rights: Mapping[str, frozenset[Right]] | None
) -> Iterator[AddRight]:
    if rights is None:
        return
    wanted = {
        (principal, right): None
        for role, principal in principals.items()
        for right in ROLES[role].rights
    }
    for principal, right in wanted:
        if right not in rights.get(principal, frozenset()):
            yield AddRight(principal, right)


def _other_quotas(
    principals: Mapping[str, str], quotas: Mapping[str, Mapping[str, float]] | None
) -> Iterator[SetQuota]:
    if quotas is None:
        return
    for principal, declared in quotas_of(principals).items():
        for key, value in declared.items():
            if (current := quotas.get(principal, {}).get(key)) != value:
                yield SetQuota(principal, key, current, value)


def quotas_of(principals: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """By principal its quotas: one that has several roles may write and read for all of them.

    A role without a limit makes the principal unlimited.
    """
    roles: dict[str, list[dict[str, float]]] = {}
    for role, principal in principals.items():
        roles.setdefault(principal, []).append(ROLES[role].quotas)
    return {
        principal: {
            key: sum(quotas[key] for quotas in limits)
            for key in limits[0]
            if all(key in quotas for quotas in limits)
        }
        for principal, limits in roles.items()
    }
