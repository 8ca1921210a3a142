"""The table of alerts: what fires, what is over, and the facts that alerts read from ClickHouse."""

import datetime as dt

from clickhouse_connect.driver.client import Client

from polygon_assets.inspection import tables
from polygon_assets.messages import Heartbeat
from polygon_assets.serving import heartbeat_history
from polygon_assets.serving.alert_history import FiringAlert, read, store
from polygon_assets.settings import Settings

NOW = dt.datetime(2026, 11, 20, 15, 0, 0, 123_000, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(minutes=3)
LAG = FiringAlert("lag", "sink", NOW, "the oldest unprocessed message has waited for 61 s")
GAP = FiringAlert("gap_open", "", NOW, "1 gap(s)")


def test_the_table_follows_what_fires_and_keeps_what_is_over(client: Client) -> None:
    store(client, [LAG, GAP], NOW)
    store(client, [LAG, GAP], NOW)
    assert read(client) == [GAP, LAG]
    store(client, [LAG], LATER)
    assert read(client) == [LAG]
    ended = client.query(
        "SELECT alert, until FROM market.alerts FINAL WHERE until IS NOT NULL", tz_mode="aware"
    ).result_rows
    assert ended == [("gap_open", LATER)]


def test_an_alert_that_fires_again_is_another_row(client: Client) -> None:
    again = FiringAlert("lag", "sink", LATER, "once more")
    for moment, firing in ((NOW, [LAG]), (LATER, []), (LATER, [again])):
        store(client, firing, moment)
    assert read(client) == [again]
    assert client.query("SELECT count() FROM market.alerts FINAL").result_rows == [(2,)]


def test_restarts_are_the_processes_that_replaced_another_one(
    client: Client, settings: Settings
) -> None:
    now = dt.datetime.now(dt.UTC)
    now_ms = round(now.timestamp() * 1000)
    heartbeat_history.store(
        client,
        [
            Heartbeat("sink", f"host:{n}:1", "streaming", started, started + sent, restarts=n)
            for n, started in enumerate((now_ms - 50_000, now_ms - 40_000, now_ms - 20_000))
            for sent in (1_000, 2_000)
        ],
    )
    for seconds, count in ((60, {"sink": 2}), (30, {"sink": 1}), (10, {})):
        assert tables.restarts(settings, now - dt.timedelta(seconds=seconds)) == count


def test_the_free_space_of_each_disk_is_read(client: Client, settings: Settings) -> None:
    assert client.query("SELECT count() > 0 FROM system.disks").result_rows == [(1,)]
    free = tables.free_bytes(settings)
    assert free
    assert all(space > 0 for space in free.values())
