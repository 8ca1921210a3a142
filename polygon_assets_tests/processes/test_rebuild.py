"""`polygon-assets rebuild`: a day from the archive equals the stored one, or the command names why.

The rule of the compared symbols belongs to unit/rebuild.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client

from polygon_assets.cli import main
from polygon_assets.clients import archive_store, s3, subscription_store
from polygon_assets.commands import rebuild
from polygon_assets.events.validation import to_row
from polygon_assets.inspection.streams import positions
from polygon_assets.market_calendar import NEW_YORK, ONE_DAY
from polygon_assets.messages import RawAggregate, encode
from polygon_assets.rebuild import day as rebuilt_day
from polygon_assets.settings import Settings
from polygon_assets.streaming.archiver import Archived, objects
from polygon_assets.streaming.rows import to_table
from polygon_assets.subscriptions import accept
from polygon_assets.topics import (
    ARCHIVER_GROUP,
    FILTER_GROUP,
    FILTERED_TOPIC,
    RAW_TOPIC,
    SINK_GROUP,
)
from polygon_assets_tests.processes import live_market
from polygon_assets_tests.processes.harness import connect_clickhouse, eventually, put_in_force
from polygon_assets_tests.processes.live_market import Live, channels
from polygon_assets_tests.processes.test_filter import seconds_of
from polygon_assets_tests.unit.streaming.samples import START_MS
from polygon_assets_tests.unit.streaming.test_archiver import message

SERVERS = (*live_market.SERVERS, "clickhouse")
EXCHANGE_OPTIONS = live_market.EXCHANGE_OPTIONS
LONG_AGO = "2020-01-01T00:00:00Z"
DAY = dt.datetime.fromtimestamp(START_MS / 1000, NEW_YORK).date()
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[Client]:
    client = connect_clickhouse(settings)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def emptied(settings: Settings, client: Client) -> None:
    """Empty the table, the archive and the history of subscriptions."""
    client.command("TRUNCATE TABLE market.stock_aggregates")
    empty_bucket(settings, "archive/")
    empty_bucket(settings, "subscriptions/versions/")


@pytest.fixture
def run(
    settings: Settings, client: Client, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """The command, which leaves no scratch table."""
    monkeypatch.setattr(rebuild, "read_settings", lambda: settings)

    def run(*arguments: str, day: dt.date = DAY) -> Result:
        answer = CliRunner().invoke(main, ["rebuild", str(day), *arguments])
        assert client.query("SHOW TABLES FROM market LIKE 'rebuild%'").result_rows == []
        return answer

    return run


def empty_bucket(settings: Settings, prefix: str) -> None:
    store, bucket = s3.connect(settings), settings.subscriptions_bucket
    for entry in store.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ()):
        store.delete_object(Bucket=bucket, Key=entry["Key"])


def archive(settings: Settings, *values: bytes) -> None:
    """Put messages into the archive, as the archiver does."""
    store = archive_store.connect(settings)
    batch = [message(value, offset) for offset, value in enumerate(values)]
    for name, content in objects([Archived(one) for one in batch]):
        store.put(name, content)


def insert(client: Client, *events: RawAggregate) -> None:
    client.insert_arrow(
        "market.stock_aggregates", to_table([encode(to_row(event)) for event in events])
    )


def corrected(event: RawAggregate, microseconds: int, close: float) -> RawAggregate:
    return msgspec.structs.replace(
        event, received_at=event.received_at + microseconds, close_price=close
    )


def counts(answer: Result) -> dict[str, int]:
    """The last report's numbers: equal, missing, surplus, different."""
    numbers: dict[str, int] = {}
    for line in answer.stdout.splitlines():
        count, _, meaning = line.strip().partition(" ")
        if count.replace(",", "").isdigit():
            numbers[meaning.split()[0].rstrip(":")] = int(count.replace(",", ""))
    return numbers


@pytest.fixture
def stored(settings: Settings, client: Client) -> list[RawAggregate]:
    """Ten seconds of A in archive and table, over two hours; the third was corrected."""
    put_in_force(settings, "A.A", accepted_at=LONG_AGO)
    events = [*seconds_of("A", 5), *seconds_of("A", 5, first=HOUR_MS // 1000)]
    events.append(corrected(events[2], 9, 25.40))
    archive(settings, *map(encode, events), encode(events[0]), b"{broken")
    insert(client, *events)
    return events


def test_a_stored_day_equals_its_archive(
    stored: list[RawAggregate], run: Callable[..., Result]
) -> None:
    answer = run()
    assert answer.exit_code == 0, answer.output
    assert counts(answer) == {"equal": 10, "missing": 0, "surplus": 0, "different": 0}
    assert f"{len(stored) + 2} archived events, 1 of them refused" in answer.stdout


def test_a_deleted_row_and_an_altered_one_are_found_and_mended(
    stored: list[RawAggregate], client: Client, run: Callable[..., Result]
) -> None:
    delete = "ALTER TABLE market.stock_aggregates DELETE WHERE start_timestamp = {start:DateTime64}"
    alter = (
        "ALTER TABLE market.stock_aggregates UPDATE vwap = NULL "
        "WHERE start_timestamp = {start:DateTime64}"
    )
    for sql, event in ((delete, stored[0]), (alter, stored[6])):
        start = dt.datetime.fromtimestamp(event.start_timestamp / 1000, dt.UTC)
        client.command(sql, parameters={"start": start}, settings={"mutations_sync": 2})
    answer = run()
    assert answer.exit_code == 1
    assert counts(answer) == {"equal": 8, "missing": 1, "surplus": 0, "different": 1}
    assert "A 2026-11-18 11:06:40 UTC: archived: close 25.41" in answer.stdout
    assert "A 2026-11-18 12:06:41 UTC: vwap: archived 25.3981, stored None" in answer.stdout
    answer = run("--replace")
    assert answer.exit_code == 0, answer.output
    assert counts(answer) == {"equal": 10, "missing": 0, "surplus": 0, "different": 0}
    assert run().exit_code == 0


def test_an_older_version_in_the_table_is_replaced_and_a_newer_one_stays(
    settings: Settings, client: Client, run: Callable[..., Result]
) -> None:
    put_in_force(settings, "A.A", accepted_at=LONG_AGO)
    first, second = seconds_of("A", 2)
    newer = corrected(second, 5, 25.35)
    archive(settings, encode(first), encode(corrected(first, 5, 25.40)), encode(second))
    insert(client, first, newer)
    answer = run("--replace")
    assert answer.exit_code == 1, "a row that is newer than the archive stays different"
    assert counts(answer) == {"equal": 1, "missing": 0, "surplus": 0, "different": 1}
    assert "close: archived 25.41, stored 25.35" in answer.stdout
    rows = client.query(
        "SELECT close FROM market.stock_aggregates FINAL ORDER BY start_timestamp"
    ).result_rows
    assert rows == [(25.40,), (25.35,)]


@pytest.mark.usefixtures("stored")
def test_what_the_archive_lacks_is_surplus_and_other_days_do_not_count(
    client: Client, run: Callable[..., Result]
) -> None:
    insert(client, *seconds_of("NEVER", 1), *seconds_of("A", 1, first=86_400))
    answer = run()
    assert answer.exit_code == 1
    assert counts(answer) == {"equal": 10, "missing": 0, "surplus": 1, "different": 0}
    assert "NEVER 2026-11-18 11:06:40 UTC: stored: close 25.41" in answer.stdout


@pytest.mark.usefixtures("stored")
def test_symbols_that_were_not_subscribed_all_the_time_are_not_compared(
    settings: Settings, run: Callable[..., Result]
) -> None:
    put_in_force(settings, "A.A", "A.B", accepted_at="2026-11-18T11:00:00Z")
    put_in_force(settings, "A.A", accepted_at="2026-11-18T11:30:00Z")
    archive(settings, *map(encode, [*seconds_of("B", 3), *seconds_of("C", 3)]))
    answer = run()
    assert answer.exit_code == 0, answer.output
    assert counts(answer)["equal"] == 10
    assert "1 symbols compared, 2 not, because" in answer.stdout
    assert "all the time: B, C" in answer.stdout


@pytest.mark.usefixtures("stored")
def test_events_that_the_filter_refuses_are_counted_and_no_row_is_missing_for_them(
    settings: Settings, run: Callable[..., Result]
) -> None:
    bad = msgspec.structs.replace(seconds_of("A", 1, first=100)[0], low=-1.0)
    archive(settings, encode(bad))
    answer = run()
    assert answer.exit_code == 0, answer.output
    assert "2 of them refused by the filter's rules" in answer.stdout


def test_a_set_that_returns_does_not_erase_when_it_was_in_force_before(settings: Settings) -> None:
    store = subscription_store.connect(settings)
    first = accept("channel\nA.A\n", ("A.A",), "first", "2026-11-18T00:00:00+00:00")
    second = accept("channel\nA.B\n", ("A.B",), "second", "2026-11-18T01:00:00-05:00")
    again = msgspec.structs.replace(first, accepted_at="2026-11-18T12:00:00+00:00")
    for accepted in (first, second, again):
        store.publish(accepted)
    assert store.history() == [first, second, again]
    assert store.accepted() == again


def test_a_day_without_any_archived_event_proves_nothing(run: Callable[..., Result]) -> None:
    answer = run()
    assert answer.exit_code == 1
    assert "no event of 2026-11-18 is archived under s3://polygon-assets/archive/" in answer.output


@pytest.mark.usefixtures("stored")
def test_a_damaged_object_is_named(settings: Settings, run: Callable[..., Result]) -> None:
    bucket, store = settings.subscriptions_bucket, s3.connect(settings)
    key = store.list_objects_v2(Bucket=bucket, Prefix="archive/")["Contents"][0]["Key"]
    store.put_object(Bucket=bucket, Key=key, Body=b"nothing")
    answer = run()
    assert answer.exit_code == 1
    assert f"s3://polygon-assets/{key} is damaged" in answer.output


@pytest.mark.usefixtures("stored")
def test_the_scratch_table_of_a_killed_rebuild_is_dropped_by_a_later_one(
    client: Client, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = "market.rebuild_20261120_deadbeef"
    client.command(f"CREATE TABLE {left} AS market.stock_aggregates")
    with pytest.raises(AssertionError, match="deadbeef"):
        run()  # it may still be at work
    monkeypatch.setattr(rebuilt_day, "ABANDONED_AFTER", -ONE_DAY)
    assert run().exit_code == 0


def has_read_everything(settings: Settings, group: str, topic: str) -> bool:
    return positions(settings, group, topic).lag == 0


@pytest.mark.long
def test_a_day_streamed_by_the_four_programs_is_rebuilt_equal(
    live: Live, settings: Settings, client: Client, run: Callable[..., Result]
) -> None:
    symbols = live_market.SYMBOLS
    put_in_force(settings, *channels(symbols), accepted_at=LONG_AGO)
    readers = [
        live.programs.start(name, ARCHIVE_MAX_SECONDS="1")
        for name in ("filter", "sink", "archiver")
    ]
    for reader in readers:
        reader.wait_for_log(f"{reader.name} streaming")
    producer = live.start(*symbols)
    query = "SELECT uniqExact(start_timestamp) FROM market.stock_aggregates"
    eventually(lambda: client.query(query).result_rows[0][0] >= 10, "ten seconds are stored")
    readers[2].kill()
    live.programs.start("archiver", ARCHIVE_MAX_SECONDS="1")
    assert producer.stop() == 0
    groups = {FILTER_GROUP: RAW_TOPIC, SINK_GROUP: FILTERED_TOPIC, ARCHIVER_GROUP: RAW_TOPIC}
    for group, topic in groups.items():
        has_read = partial(has_read_everything, settings, group, topic)
        eventually(has_read, f"{group} has read everything")
    days = {
        dt.datetime.fromtimestamp(second, NEW_YORK).date()
        for second in (time.time(), time.time() - 60)
    }
    answers = [run(day=day) for day in days]
    assert [answer.exit_code for answer in answers] == [0] * len(days), answers[0].output
    assert counts(answers[0])["equal"] > 10
