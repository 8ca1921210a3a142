"""The differences between declaration and cluster, without a cluster.

What a broker answers belongs to processes/test_topic_plan.py.
"""

from dataclasses import replace
from typing import Any

import pytest

from polygon_assets.provisioning.topic_plan import (
    MOVED_KEYS,
    AddRight,
    ClusterState,
    CreateTopic,
    Declaration,
    PrincipalsError,
    RaisePartitions,
    SetConfig,
    SetQuota,
    TopicState,
    parse_principals,
    plan,
    quotas_of,
)
from polygon_assets.settings import Settings
from polygon_assets.topics import (
    DEAD_LETTER_TOPIC,
    FILTER_GROUP,
    FILTERED_TOPIC,
    GAP_TOPIC,
    RAW_TOPIC,
    ROLES,
    STATUS_TOPIC,
    TOPICS,
    Right,
    Topic,
    declared,
)

TOPIC = Topic(RAW_TOPIC, retention_days=7)
STATE = TopicState(6, 3, TOPIC.configs | {"segment.bytes": "1073741824"})
DECLARED = Declaration([TOPIC])
FILTER = "User:filter"


def cluster(**changes: Any) -> ClusterState:
    """A cluster with the declared topic, and other facts."""
    return replace(ClusterState({RAW_TOPIC: STATE}), **changes)


def with_topic(**changes: Any) -> ClusterState:
    return ClusterState({RAW_TOPIC: replace(STATE, **changes)})


def test_a_cluster_as_declared_has_no_difference() -> None:
    assert not plan(DECLARED, cluster()).has_differences


def test_a_missing_topic_is_created_as_declared() -> None:
    result = plan(Declaration(TOPICS, replication_factor=3), ClusterState({}))
    assert result.changes == [CreateTopic(topic, 3) for topic in TOPICS]
    assert str(result.changes[0]) == (
        f"+ create topic {RAW_TOPIC}: 6 partitions, replication factor 3, "
        "cleanup.policy=delete, retention.ms=604800000"
    )
    [change] = plan(DECLARED, ClusterState({})).changes
    assert "replication factor the brokers' default" in str(change)


def test_partitions_are_raised() -> None:
    result = plan(DECLARED, with_topic(partitions=2))
    assert result.changes == [RaisePartitions(RAW_TOPIC, 2, 6)]
    assert str(result.changes[0]) == f"~ topic {RAW_TOPIC}: partitions 2 -> 6"
    assert result.refusals == []
    assert result.notes == [MOVED_KEYS]


def test_the_setting_says_how_many_partitions_the_shared_topics_have() -> None:
    topics = declared(Settings(kafka_partitions=64))
    assert {topic.name for topic in topics if topic.partitions == 64} == {RAW_TOPIC, FILTERED_TOPIC}
    assert declared(Settings()) == TOPICS
    result = plan(Declaration(topics), ClusterState({RAW_TOPIC: STATE}))
    assert RaisePartitions(RAW_TOPIC, 6, 64) in result.changes
    [refusal] = plan(Declaration(topics[:1]), with_topic(partitions=80)).refusals
    assert refusal.endswith("or raise KAFKA_PARTITIONS")


def test_partitions_are_never_lowered_and_the_reason_is_given() -> None:
    result = plan(DECLARED, with_topic(partitions=12))
    assert result.changes == []
    [refusal] = result.refusals
    assert f"topic {RAW_TOPIC}: 12 partitions, declared 6; not changed" in refusal
    assert "Kafka cannot remove partitions" in refusal
    assert result.has_differences


def test_an_entry_with_another_value_is_set_and_undeclared_entries_are_left_alone() -> None:
    configs = {"cleanup.policy": "delete", "retention.ms": "1000", "max.message.bytes": "1"}
    result = plan(DECLARED, with_topic(configs=configs))
    assert result.changes == [SetConfig(RAW_TOPIC, "retention.ms", "1000", "604800000")]
    [unset] = plan(DECLARED, with_topic(configs={"cleanup.policy": "delete"})).changes
    assert str(unset) == f"~ topic {RAW_TOPIC}: retention.ms not set -> 604800000"


def test_another_replication_factor_is_shown_and_not_changed() -> None:
    result = plan(replace(DECLARED, replication_factor=2), cluster())
    assert result.changes == []
    [refusal] = result.refusals
    assert "replication factor 3, KAFKA_REPLICATION_FACTOR=2; not changed" in refusal


def test_rights_that_a_principal_lacks_are_added_and_only_those() -> None:
    declared = replace(DECLARED, principals={"filter": FILTER})
    rights = frozenset(ROLES["filter"].rights) - {Right("group", FILTER_GROUP, "READ")}
    quotas = {FILTER: ROLES["filter"].quotas}
    result = plan(declared, cluster(rights={FILTER: rights}, quotas=quotas))
    assert result.changes == [AddRight(FILTER, Right("group", FILTER_GROUP, "READ"))]
    assert str(result.changes[0]) == f"+ allow {FILTER} READ on group {FILTER_GROUP}"


def test_a_principal_without_anything_gets_every_right_once() -> None:
    declared = replace(DECLARED, principals={"filter": FILTER, "sink": FILTER})
    changes = plan(declared, cluster(rights={}, quotas=None)).changes
    assert len(changes) == len(set(changes))
    added = {change.right for change in changes if isinstance(change, AddRight)}
    assert added == {*ROLES["filter"].rights, *ROLES["sink"].rights}


def test_a_quota_with_another_value_is_set() -> None:
    declared = replace(DECLARED, principals={"sink": "User:sink"})
    rate = ROLES["sink"].quotas["consumer_byte_rate"]
    for current, quotas in ((None, {}), (1.0, {"User:sink": {"consumer_byte_rate": 1.0}})):
        result = plan(declared, cluster(quotas=quotas))
        assert result.changes == [SetQuota("User:sink", "consumer_byte_rate", current, rate)]
    assert plan(declared, cluster(quotas={"User:sink": ROLES["sink"].quotas})).changes == []


def test_where_the_cluster_manages_neither_rights_nor_quotas_the_topics_are_compared() -> None:
    declared = replace(DECLARED, principals={"filter": FILTER})
    assert plan(declared, cluster()).changes == []
    assert plan(declared, with_topic(partitions=1)).changes == [RaisePartitions(RAW_TOPIC, 1, 6)]


def test_a_principal_of_several_roles_may_do_the_work_of_all() -> None:
    limits = quotas_of({"filter": FILTER, "sink": FILTER, "migrate": "User:other"})
    reads = [ROLES[role].quotas["consumer_byte_rate"] for role in ("filter", "sink")]
    # The sink writes without a limit.
    assert limits == {FILTER: {"consumer_byte_rate": sum(reads)}, "User:other": {}}


def test_principals_are_read_by_role_and_the_last_entry_wins() -> None:
    entries = ["producer=User:one", " filter = User:CN=filter,O=streams ", "producer=User:two"]
    assert parse_principals(entries) == {
        "producer": "User:two",
        "filter": "User:CN=filter,O=streams",
    }


@pytest.mark.parametrize("entry", ["producer", "reader=User:one", "producer=one", "producer=User:"])
def test_an_entry_that_names_no_user_is_refused_with_the_form(entry: str) -> None:
    with pytest.raises(PrincipalsError, match="write ROLE=PRINCIPAL such as") as caught:
        parse_principals([entry])
    assert repr(entry) in str(caught.value)


def test_no_program_may_create_topics_or_write_what_it_only_reads() -> None:
    programs = ("producer", "filter", "sink", "archiver", "dagster")
    rights = {role: ROLES[role].rights for role in programs}
    assert not [right for role in programs for right in rights[role] if right.operation == "CREATE"]
    writers = {
        topic.name: {
            role for role in programs if Right("topic", topic.name, "WRITE") in rights[role]
        }
        for topic in TOPICS
    }
    assert writers[RAW_TOPIC] == {"producer", "dagster"}
    assert writers[FILTERED_TOPIC] == {"filter", "dagster"}
    assert writers[STATUS_TOPIC] == set(programs) - {"dagster"}
    assert writers[DEAD_LETTER_TOPIC] == {"producer", "filter", "sink"}
    assert writers[GAP_TOPIC] == {"producer", "filter", "sink"}
