"""A full sync that comes back empty or much smaller: the last good rows stay in the table.

The rejected rows are kept in a table of their own, and a person may accept them.
"""

import datetime as dt
from collections.abc import Iterable

import pytest
from snowflake.connector import SnowflakeConnection

from polygon_assets.batch import marts
from polygon_assets.batch.airbyte.connector import streams
from polygon_assets.batch.marts import MARTS
from polygon_assets.batch.raw import last_good, table_writer
from polygon_assets.batch.raw.last_good import Judged, is_much_smaller, keep_or_restore
from polygon_assets_tests.processes.warehouse_harness import AT, ask, clear, split

SERVERS = ("snowflake",)
SPLITS = streams()["stock_split"]


@pytest.fixture
def session(warehouse_session: SnowflakeConnection) -> SnowflakeConnection:
    clear(warehouse_session)
    for suffix in ("LAST_GOOD", "REJECTED"):
        ask(warehouse_session, f"DROP TABLE IF EXISTS RAW.STOCK_SPLIT_{suffix}")
    return warehouse_session


def synced(
    session: SnowflakeConnection, numbers: Iterable[int], *, accepted: bool = False
) -> Judged:
    """The judgement of a sync that brought splits with these numbers."""
    records = [split(str(number), "A", "2026-11-16", 1, number + 1) for number in numbers]
    table_writer.overwrite(session, SPLITS, records, AT + dt.timedelta(days=1))
    return keep_or_restore(session, [SPLITS], ["stock_split"] if accepted else [])["stock_split"]


def ids(session: SnowflakeConnection, suffix: str = "") -> set[int]:
    return {int(number) for (number,) in ask(session, f"SELECT id FROM RAW.STOCK_SPLIT{suffix}")}


@pytest.mark.parametrize(
    ("rows", "before", "smaller"),
    [
        *[
            (0, None, True),
            (5, None, False),
            (0, 0, False),
            (0, 1, True),
            (0, 327, True),
            (90, 100, False),
        ],
        *[
            (89, 100, True),
            (4, 5, True),
            (9, 10, False),
            (8, 10, True),
            (300, 327, False),
            (1000, 327, False),
        ],
    ],
)
def test_empty_or_more_than_a_tenth_smaller(rows: int, before: int | None, smaller: bool) -> None:
    assert is_much_smaller(rows, before) is smaller


@pytest.mark.parametrize("left", [0, 1, 89])
def test_the_last_good_rows_stay_until_a_person_accepts_the_smaller_table(
    session: SnowflakeConnection, left: int
) -> None:
    assert synced(session, range(100)) == Judged(100, None, accepted=True)
    for _ in range(2):
        assert synced(session, range(left)) == Judged(left, 100, accepted=False)
        assert ids(session) == set(range(100))
        assert ids(session, "_REJECTED") == set(range(left))
    assert synced(session, range(95)) == Judged(95, 100, accepted=True)
    assert ids(session) == set(range(95))
    assert synced(session, range(left), accepted=True) == Judged(
        left, 95, accepted=True, accepted_by_person=left < 85
    )
    assert ids(session) == ids(session, "_LAST_GOOD") == set(range(left))


def test_a_table_without_a_last_good_copy_becomes_its_own(
    session: SnowflakeConnection,
) -> None:
    table_writer.overwrite(
        session, SPLITS, [split(str(number), "A", "2026-11-16", 1, 2) for number in range(100)], AT
    )
    for _ in range(2):
        last_good.copy_missing(session, [SPLITS])
    assert synced(session, []) == Judged(0, 100, accepted=False)
    assert ids(session) == set(range(100))


def test_an_empty_first_table_is_accepted_by_a_person_only(session: SnowflakeConnection) -> None:
    for _ in range(2):
        last_good.copy_missing(session, [SPLITS])
        judged = synced(session, [])
        assert (judged, judged.rows_in_place) == (Judged(0, None, accepted=False), 0)
    assert synced(session, [], accepted=True) == Judged(
        0, None, accepted=True, accepted_by_person=True
    )
    assert synced(session, []) == Judged(0, 0, accepted=True)


def test_a_crash_between_the_sync_and_the_judgement_loses_no_row(
    session: SnowflakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced(session, range(100))
    table_writer.overwrite(session, SPLITS, [], AT + dt.timedelta(days=1))
    assert keep_or_restore(session, [SPLITS])["stock_split"] == Judged(0, 100, accepted=False)
    assert ids(session) == set(range(100))
    run = last_good._run

    def crash(cursor: object, query: str, **names: str) -> None:
        if query == "restore":
            raise RuntimeError("killed")
        run(cursor, query, **names)  # type: ignore[arg-type]

    monkeypatch.setattr(last_good, "_run", crash)
    with pytest.raises(RuntimeError):
        synced(session, range(3))
    monkeypatch.undo()
    assert keep_or_restore(session, [SPLITS])["stock_split"] == Judged(3, 100, accepted=False)
    assert ids(session) == set(range(100))


def test_a_new_column_of_airbyte_is_null_in_the_restored_rows(
    session: SnowflakeConnection,
) -> None:
    synced(session, range(100))
    ask(session, "ALTER TABLE RAW.STOCK_SPLIT ADD COLUMN IF NOT EXISTS ADDED VARCHAR")
    try:
        assert not synced(session, range(3)).accepted
        assert ids(session) == set(range(100))
    finally:
        ask(session, "ALTER TABLE RAW.STOCK_SPLIT DROP COLUMN ADDED")


def test_marts_never_read_rows_that_were_not_judged(session: SnowflakeConnection) -> None:
    """Airbyte replaces the table before anyone can judge it, and the run may die in between."""
    synced(session, range(100))
    table_writer.overwrite(session, SPLITS, [], AT + dt.timedelta(days=1))
    assert marts.build(session, MARTS["dim_stock_split"]) == 100
