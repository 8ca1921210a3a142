"""How the statements of the migrations are written for one server, a cluster, or ClickHouse Cloud.

Add what differs between these here: the files are written once, for a single server, and their
checksums are those of the files. Applying them belongs to `serving.migrate`.
"""

import re
from dataclasses import dataclass
from typing import Literal

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings

Layout = Literal["single", "replicated", "cloud"]
DDL_SECONDS = 50
"""Below the client's timeout of 60 s, so that ClickHouse names the replica that did not answer."""
_COMMENTS = re.compile(r"\A(?:--[^\n]*\n|\s)*")
_OBJECT = re.compile(
    r"(?:CREATE (?:DATABASE|TABLE|VIEW|MATERIALIZED VIEW) IF NOT EXISTS|CREATE OR REPLACE VIEW"
    r"|ALTER TABLE|DROP (?:TABLE|VIEW) IF EXISTS) [\w.]+"
)
_ON_EVERY_REPLICA_ALREADY = re.compile(r"INSERT INTO ")
_ENGINE = re.compile(r"^\) ENGINE = (\w*MergeTree\b)", re.MULTILINE)
_SETTINGS = re.compile(r"^SETTINGS (.*)\Z", re.MULTILINE | re.DOTALL)
_NO_DEDUPLICATION = "replicated_deduplication_window = 0"
"""A replicated table drops a block that it has seen, and its views then miss the block as well: if
a view failed in the first attempt, the retry would not repair it. The keys make retries harmless
without this, as on a single server, where the window is 0 by default."""


class TableLayoutError(PolygonAssetsError):
    """A statement cannot be written for a cluster; the message has its beginning and the cure."""


@dataclass(frozen=True)
class TableLayout:
    """Where the tables are: on a single server, on each replica of `cluster`, or in the Cloud."""

    layout: Layout = "single"
    cluster: str = ""

    @classmethod
    def of(cls, settings: Settings) -> "TableLayout":
        return cls(settings.clickhouse_tables, settings.clickhouse_cluster)

    @property
    def on_cluster(self) -> str:
        """The clause that runs a statement on each replica, with a space before it; often empty."""
        return f" ON CLUSTER {identifier(self.cluster)}" if self.layout == "replicated" else ""

    @property
    def query_settings(self) -> dict[str, int]:
        """Settings of a statement that waits for every replica."""
        return {"distributed_ddl_task_timeout": DDL_SECONDS} if self.on_cluster else {}

    def write(self, statement: str) -> str:
        """The statement of a file for this layout. Raises TableLayoutError."""
        if self.layout == "single":
            return statement
        return _with_engine(_on_cluster(statement, self.on_cluster), self.layout)


def identifier(name: str) -> str:
    """A ClickHouse name in quotes."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def text(value: str) -> str:
    """A ClickHouse string in quotes."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _on_cluster(statement: str, clause: str) -> str:
    start = _COMMENTS.match(statement)
    position = start.end() if start else 0
    if not clause or _ON_EVERY_REPLICA_ALREADY.match(statement, position):
        return statement
    named = _OBJECT.match(statement, position)
    if not named:
        raise TableLayoutError(
            f"CLICKHOUSE_TABLES=replicated: {statement[position:][:60]!r} cannot be written for a "
            "cluster; begin it like the other migrations (CREATE TABLE IF NOT EXISTS name), or "
            "add its form to serving/table_layout.py"
        )
    return f"{statement[: named.end()]}{clause}{statement[named.end() :]}"


def _with_engine(statement: str, layout: Layout) -> str:
    """Replicated engines for a cluster; the Cloud replicates every MergeTree by itself.

    Without arguments, the engine's path in Keeper is the server's `default_replica_path`, which
    contains the table's UUID, and the macros {shard} and {replica}.
    """
    if not _ENGINE.search(statement):
        return statement
    if layout == "replicated":
        statement = _ENGINE.sub(r") ENGINE = Replicated\1", statement)
    if _SETTINGS.search(statement):
        return _SETTINGS.sub(rf"SETTINGS {_NO_DEDUPLICATION}, \1", statement)
    return f"{statement}\nSETTINGS {_NO_DEDUPLICATION}"
