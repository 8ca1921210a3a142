"""Reads and changes a Kafka cluster's topics, rights and quotas; what to change is `topic_plan`'s.

Add a call of Kafka's administration here. Rights are literal ACLs that allow a principal from every
host; other ACLs are neither shown nor removed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from polygon_assets.clients import kafka_access
from polygon_assets.clients.kafka import connect_admin
from polygon_assets.clients.kafka_access import KafkaAccessError
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.provisioning.topic_plan import (
    AddRight,
    Change,
    ClusterState,
    CreateTopic,
    Declaration,
    RaisePartitions,
    SetConfig,
    SetQuota,
    TopicState,
)
from polygon_assets.settings import Settings
from polygon_assets.streaming.create_topics import TopicError, create
from polygon_assets.topics import Right

if TYPE_CHECKING:
    from kafka import KafkaAdminClient
    from kafka.admin import ACL
    from kafka.errors import KafkaError

T = TypeVar("T")
CONNECT_SECONDS = 10.0
_NO_ERROR, _UNKNOWN_TOPIC = 0, 3
_EXACT_NAME = 0
"""How DescribeClientQuotas names a user."""


class KafkaClusterError(PolygonAssetsError):
    """The cluster cannot be read or changed; the message names what failed and the cure."""


class _RefusedError(PolygonAssetsError):
    """An error code in an answer of the broker, with its message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def read(settings: Settings, declaration: Declaration) -> ClusterState:
    """The cluster as far as it is declared. Raises KafkaClusterError."""
    notes: list[str] = []
    principals = sorted(set(declaration.principals.values()))
    with _connected(settings, "DESCRIBE") as admin:
        topics = _read_topics(settings, admin, [topic.name for topic in declaration.topics])
        if not principals:
            return ClusterState(topics)
        rights = _if_supported("ACLs", _read_rights, admin, principals, notes)
        quotas = _if_supported("client quotas", _read_quotas, admin, principals, notes)
    return ClusterState(topics, rights, quotas, notes)


def apply(
    settings: Settings, declaration: Declaration, changes: Sequence[Change]
) -> Iterator[Change]:
    """Make the changes one after the other, and yield each when it is made.

    Raises KafkaClusterError; the changes before it stay, and a repetition continues.
    """
    for change in changes:
        with _connected(settings, _operation(change), change) as admin:
            _apply(settings, declaration, admin, change)
        yield change


def _apply(
    settings: Settings, declaration: Declaration, admin: "KafkaAdminClient", change: Change
) -> None:
    match change:
        case CreateTopic(topic):
            create(settings, [topic], declaration.replication_factor)
        case RaisePartitions(topic, _, declared):
            admin.create_partitions({topic: declared})
        case SetConfig(topic, key, _, declared):
            _set_config(admin, topic, key, declared)
        case AddRight(principal, right):
            _add_right(admin, principal, right)
        case SetQuota(principal, key, _, declared):
            _set_quota(admin, principal, key, declared)


def _operation(change: Change) -> str:
    """The right that a change needs, as a missing one is reported."""
    match change:
        case CreateTopic():
            return "CREATE"
        case SetConfig() | SetQuota():
            return "ALTER_CONFIGS"
        case RaisePartitions() | AddRight():
            return "ALTER"


@contextmanager
def _connected(
    settings: Settings, operation: str, change: Change | None = None
) -> Iterator["KafkaAdminClient"]:
    """An admin client; whatever fails becomes a KafkaClusterError that names the change."""
    from kafka.errors import KafkaError

    doing = f"{str(change).lstrip('+~ ')}: " if change else ""
    topic = _topic_of(change)
    try:
        kafka_access.check(settings, CONNECT_SECONDS)
        with closing(connect_admin(settings)) as admin:
            yield admin
    except (KafkaAccessError, TopicError) as error:
        raise KafkaClusterError(f"{doing}{error}") from error
    except _RefusedError as error:
        raise KafkaClusterError(
            f"{doing}{_reason(settings, error.code, str(error), operation, topic)}"
        ) from error
    except KafkaError as error:
        code = getattr(error, "errno", 0)
        raise KafkaClusterError(
            f"{doing}{_reason(settings, code, _words(error), operation, topic)}"
        ) from error


def _topic_of(change: Change | None) -> str:
    match change:
        case CreateTopic(topic):
            return topic.name
        case RaisePartitions(topic) | SetConfig(topic):
            return topic
        case _:
            return ""


def _reason(settings: Settings, code: int, message: str, operation: str, topic: str) -> str:
    if code in kafka_access.MISSING_RIGHTS:
        return kafka_access.missing_right(settings, code, operation, topic)
    return f"Kafka at {settings.kafka_bootstrap_servers}: {settings.conceal(message)}"


def _words(error: "KafkaError") -> str:
    """An error of kafka-python by its name: its text repeats whole requests."""
    return f"{type(error).__name__}: {str(error).split(' Request ')[0][:300]}"


def _read_topics(
    settings: Settings, admin: "KafkaAdminClient", names: Sequence[str]
) -> dict[str, TopicState]:
    described = {}
    for topic in admin.describe_topics(list(names)):
        code = topic["error_code"]
        if code in kafka_access.MISSING_RIGHTS:
            right = kafka_access.missing_right(settings, code, "DESCRIBE", topic["name"])
            raise KafkaClusterError(right)
        if code not in (_NO_ERROR, _UNKNOWN_TOPIC):
            raise _RefusedError(code, f"topic {topic['name']} cannot be described (error {code})")
        if topic["partitions"]:
            described[topic["name"]] = topic["partitions"]
    configs = _read_configs(settings, admin, list(described))
    return {
        name: TopicState(len(partitions), len(partitions[0]["replica_nodes"]), configs[name])
        for name, partitions in described.items()
    }


def _read_configs(
    settings: Settings, admin: "KafkaAdminClient", names: Sequence[str]
) -> dict[str, dict[str, str | None]]:
    """The values in force by topic. kafka-python's own method hides a refusal."""
    from kafka.admin import ConfigResourceType
    from kafka.protocol.admin import DescribeConfigsRequest

    if not names:
        return {}
    resources = [(ConfigResourceType.TOPIC, name, None) for name in names]
    answer = _ask(admin, DescribeConfigsRequest(resources=resources, include_synonyms=False))
    configs = {}
    for result in answer.results:
        code, name = result.error_code, result.resource_name
        if code in kafka_access.MISSING_RIGHTS:
            right = kafka_access.missing_right(settings, code, "DESCRIBE_CONFIGS", name)
            raise KafkaClusterError(right)
        if code:
            raise _RefusedError(code, f"topic {name}: {result.error_message} (error {code})")
        configs[name] = {entry.name: entry.value for entry in result.configs}
    return configs


def _set_config(admin: "KafkaAdminClient", topic: str, key: str, value: str) -> None:
    """Set one entry and leave the others, which IncrementalAlterConfigs does."""
    from kafka.admin import ConfigResource, ConfigResourceType

    resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={key: value})
    answer = admin.alter_configs([resource], raise_on_unknown=False)["topic"][topic]
    if answer != "OK":
        # kafka-python gives the error as a text: [Error 29] TopicAuthorizationFailedError: …
        code = answer.partition("[Error ")[2].partition("]")[0]
        raise _RefusedError(int(code) if code.isdecimal() else 0, answer)


def _if_supported(
    what: str,
    read_them: "Callable[[KafkaAdminClient, Sequence[str]], Mapping[str, T]]",
    admin: "KafkaAdminClient",
    principals: Sequence[str],
    notes: list[str],
) -> Mapping[str, T] | None:
    """What the cluster answers; None, and a note, where it cannot manage it at all."""
    from kafka.errors import SecurityDisabledError, UnsupportedVersionError

    try:
        return read_them(admin, principals)
    except SecurityDisabledError:
        reason = "the brokers have no authorizer (authorizer.class.name)"
    except UnsupportedVersionError:
        reason = "the brokers do not serve this request"
    notes.append(f"{what} are not compared: {reason}")
    return None


def _read_rights(
    admin: "KafkaAdminClient", principals: Sequence[str]
) -> dict[str, frozenset[Right]]:
    from kafka.admin import (
        ACLFilter,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        ResourcePatternFilter,
        ResourceType,
    )
    from kafka.protocol.admin import DeleteAclsRequest

    # Raises UnsupportedVersionError. The embedded broker lacks this request; it answers that there
    # are no ACLs, and breaks at the creation of one.
    admin._manager.broker_version_data.api_version(DeleteAclsRequest)
    every = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.LITERAL)
    rights = {}
    for principal in principals:
        acls, _ = admin.describe_acls(
            ACLFilter(principal, "*", ACLOperation.ANY, ACLPermissionType.ALLOW, every)
        )
        rights[principal] = frozenset(filter(None, map(_right, acls)))
    return rights


def _right(acl: "ACL") -> Right | None:
    """The right that an ACL gives; None for resources and operations that are not declared."""
    kind, operation = acl.resource_pattern.resource_type.name.lower(), acl.operation.name
    if kind not in ("topic", "group") or operation not in ("READ", "WRITE", "CREATE", "DESCRIBE"):
        return None
    return Right(kind, acl.resource_pattern.resource_name, operation)


def _add_right(admin: "KafkaAdminClient", principal: str, right: Right) -> None:
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

    pattern = ResourcePattern(ResourceType[right.kind.upper()], right.name)
    operation = ACLOperation[right.operation]
    answer = admin.create_acls([ACL(principal, "*", operation, ACLPermissionType.ALLOW, pattern)])
    for error in answer["failed"]:
        raise error


def _read_quotas(
    admin: "KafkaAdminClient", principals: Sequence[str]
) -> dict[str, dict[str, float]]:
    from kafka.errors import for_code
    from kafka.protocol.admin import DescribeClientQuotasRequest

    quotas = {}
    for principal in principals:
        user = DescribeClientQuotasRequest.ComponentData(
            entity_type="user", match_type=_EXACT_NAME, match=_user(principal)
        )
        request = DescribeClientQuotasRequest(components=[user], strict=True)
        answer = _ask(admin, request)
        if answer.error_code:
            raise for_code(answer.error_code)(answer.error_message)
        quotas[principal] = {
            value.key: value.value for entry in answer.entries or () for value in entry.values
        }
    return quotas


def _set_quota(admin: "KafkaAdminClient", principal: str, key: str, value: float) -> None:
    from kafka.errors import for_code
    from kafka.protocol.admin import AlterClientQuotasRequest

    entry = AlterClientQuotasRequest.EntryData
    user = entry.EntityData(entity_type="user", entity_name=_user(principal))
    change = entry.OpData(key=key, value=value, remove=False)
    request = AlterClientQuotasRequest(
        entries=[entry(entity=[user], ops=[change])], validate_only=False
    )
    for answer in _ask(admin, request).entries:
        if answer.error_code:
            raise for_code(answer.error_code)(answer.error_message)


def _ask(admin: "KafkaAdminClient", request: Any) -> Any:
    """Send a message for which kafka-python has no method that does, and return the answer."""
    return admin._manager.run(admin._manager.send, request)


def _user(principal: str) -> str:
    """Quotas name the user without the kind that ACLs put before it."""
    return principal.partition(":")[2]
