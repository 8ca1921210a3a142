"""What ClickHouse lacks for CLICKHOUSE_TABLES, as pure functions: cluster, macros, engines.

Add what a layout needs from the server here; reading the server belongs to `tables`, how statements
are written to `serving.table_layout`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from polygon_assets.settings import Settings

MACROS = ("shard", "replica")
"""Parts of `default_replica_path` and `default_replica_name`, where they are not changed."""
_ENGINE_PREFIX = {"replicated": "Replicated", "cloud": "Shared"}


@dataclass(frozen=True)
class ServerFacts:
    """The replicas by shard of the cluster, the server's macros, and the engine of each table."""

    replicas: Mapping[int, int]
    macros: Mapping[str, str]
    engines: Mapping[str, str]


def problems(settings: Settings, facts: ServerFacts) -> Iterator[str]:
    """What the chosen layout lacks, each with its cure."""
    layout, cluster = settings.clickhouse_tables, settings.clickhouse_cluster
    if layout == "replicated":
        yield from _cluster_problems(cluster, facts)
    prefix = _ENGINE_PREFIX.get(layout, "")
    if other := sorted(
        name for name, engine in facts.engines.items() if not engine.startswith(prefix)
    ):
        yield (
            f"CLICKHOUSE_TABLES={layout}, but the engine of {', '.join(other)} in database market "
            f"is not {prefix}…MergeTree: the tables were created with another setting; restore it, "
            "or migrate an empty database and copy the rows"
        )


def _cluster_problems(cluster: str, facts: ServerFacts) -> Iterator[str]:
    if not facts.replicas:
        yield (
            f"CLICKHOUSE_CLUSTER={cluster} is not in system.clusters; add it to remote_servers of "
            "each server, or name another"
        )
    elif len(facts.replicas) > 1:
        yield (
            f"CLICKHOUSE_CLUSTER={cluster} has {len(facts.replicas)} shards; the tables are not "
            "distributed over shards, so name a cluster of one shard with several replicas"
        )
    if missing := [name for name in MACROS if name not in facts.macros]:
        yield (
            f"the server has no macro {', '.join(missing)}; add <macros> to its configuration, "
            "with another replica on each server"
        )
