"""Who may do what in ClickHouse: the writer (the programs and `migrate`) and the reader (page, BI).

Change a right, a limit or a setting here; how they are compared belongs to `differences`. Profile
and quota belong to the role, so that a person's user with the role `polygon_read` has them too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from polygon_assets.serving.table_layout import Layout
from polygon_assets.settings import Settings

DATABASE = "market"
READER = "polygon_reader"
"""The user of the page and of dashboards."""
QUOTA_SECONDS = 3600


@dataclass(frozen=True, order=True)
class Right:
    """A privilege on a database, on one table, or on an engine; None is every one.

    A table's name may end with `*`, which stands for any ending.
    """

    privilege: str
    database: str | None = None
    table: str | None = None
    engine: str = ""


@dataclass(frozen=True)
class SettingLimit:
    """A setting of a profile; a session may choose another value up to `maximum`."""

    value: str
    maximum: str | None = None


@dataclass(frozen=True)
class Role:
    """A role with its rights, its settings profile, its quota, and the user that has it."""

    name: str
    user: str
    password: str = field(repr=False)
    """Empty: the user is left alone."""
    password_variable: str
    profile: Mapping[str, SettingLimit]
    quota: Mapping[str, int]
    """By limit, for an hour and each user; empty: only counted."""
    rights: Sequence[Right]


def roles(settings: Settings) -> list[Role]:
    """The declared roles for the layout of the settings."""
    layout = settings.clickhouse_tables
    return [
        Role(
            "polygon_write",
            "polygon_writer",
            settings.clickhouse_writer_password.get_secret_value(),
            "CLICKHOUSE_WRITER_PASSWORD",
            _writer_profile(layout),
            {},
            _writer_rights(layout),
        ),
        Role(
            "polygon_read",
            READER,
            settings.clickhouse_reader_password.get_secret_value(),
            "CLICKHOUSE_READER_PASSWORD",
            _READER_PROFILE,
            _READER_QUOTA,
            # The page learns from the parts that there are new rows, and the bytes of a day. It
            # sees those of its own tables.
            [Right("SELECT", DATABASE), Right("SELECT", "system", "parts")],
        ),
    ]


_READER_PROFILE = {
    # 2, not 1: drivers set formats and timeouts with each query, which 1 refuses.
    "readonly": SettingLimit("2"),
    "max_execution_time": SettingLimit("60", "300"),
    "max_memory_usage": SettingLimit("4000000000", "4000000000"),
    "max_concurrent_queries_for_user": SettingLimit("50", "50"),
}
# 100 queries a second: a page asks up to 12, and 2 more for each symbol and width looked at.
_READER_QUOTA = {"queries": 360_000, "errors": 3_600, "execution_time": 36_000}
_ENGINES = ("ReplacingMergeTree", "AggregatingMergeTree")
_TABLE_PRIVILEGES = (
    "SELECT",
    "INSERT",
    "ALTER ADD COLUMN",
    "ALTER DROP COLUMN",
    "ALTER TTL",
    "ALTER VIEW MODIFY QUERY",
    "CREATE DATABASE",
    "CREATE TABLE",
    "CREATE VIEW",
    "DROP VIEW",
)
"""What the migrations and the programs do; DROP VIEW is part of CREATE OR REPLACE VIEW."""
_DROPPED_TABLES = ("rebuild_*", "stock_last", "stock_last_mv")
"""Scratch tables of `rebuild`, and what a migration replaces: on a cluster, ClickHouse asks for the
right to drop a table also where a view is dropped."""


def _writer_profile(layout: Layout) -> dict[str, SettingLimit]:
    # An offset is committed once the insert is answered, so the answer must mean "stored".
    profile = {"async_insert": SettingLimit("0"), "wait_for_async_insert": SettingLimit("1")}
    if layout == "cloud":
        # A fill verifies what it has just inserted, perhaps through another replica.
        profile["select_sequential_consistency"] = SettingLimit("1")
    return profile


def _writer_rights(layout: Layout) -> list[Right]:
    prefix = "Replicated" if layout == "replicated" else ""
    return [
        *(Right(privilege, DATABASE) for privilege in _TABLE_PRIVILEGES),
        *(Right("DROP TABLE", DATABASE, table) for table in _DROPPED_TABLES),
        *(Right("SELECT", "system", table) for table in ("clusters", "disks", "macros")),
        # Needed where the server has table_engines_require_grant; the last one is `rebuild`'s.
        *(
            Right("TABLE ENGINE", engine=engine)
            for engine in dict.fromkeys((*(prefix + e for e in _ENGINES), "Null", _ENGINES[0]))
        ),
        *([Right("CLUSTER")] if layout == "replicated" else []),
    ]
