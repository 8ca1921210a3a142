"""Each alert is fired by its fault in the running system, reaches a webhook, and ends with it.

At which limit an alert fires belongs to unit/inspection, when a message is due to unit/defs/graph.
"""

import datetime as dt
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from polygon_assets.batch.airbyte.connector import REFERENCE_CONNECTION
from polygon_assets.clients import clickhouse
from polygon_assets.defs.graph import alert_facts, alert_sensor
from polygon_assets.defs.graph.alert_sensor import alerts
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.defs.stream.heartbeat_listener import HeartbeatListener
from polygon_assets.defs.stream.heartbeat_recorder import HeartbeatRecorder
from polygon_assets.defs.stream.sensors import trading_day_closer
from polygon_assets.gap_filling.fill import GapFiller
from polygon_assets.inspection import gaps as ledger
from polygon_assets.inspection import tables
from polygon_assets.inspection.disk import free_bytes
from polygon_assets.inspection.status import Status
from polygon_assets.inspection.streams import pending_since
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_calendar import ONE_DAY, MarketCalendar
from polygon_assets.messages import Heartbeat
from polygon_assets.serving import gap_ledger, heartbeat_history
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets.topics import FILTER_GROUP, RAW_TOPIC
from polygon_assets_tests.airbyte_calls import AirbyteCalls
from polygon_assets_tests.processes.harness import Program, Programs, beat, eventually
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS, SYMBOLS, Live
from polygon_assets_tests.processes.test_producer import CLOCK_8_SECONDS_BEHIND
from polygon_assets_tests.webhook import Webhook, running_webhook

__all__ = ["EXCHANGE_OPTIONS"]

SOON = {"alert_hold_seconds": 0.0, "alert_silence_seconds": 6.0, "alert_lag_seconds": 8.0}
ROW = """
    INSERT INTO market.stock_aggregates (symbol, start_timestamp, end_timestamp, received_at)
    VALUES ('AAPL', {at:DateTime64(3)}, {at:DateTime64(3)} + 1, {at:DateTime64(6)})
"""


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Alerting:
    """The sensor against one stack, tick after tick, and the webhook that it posts to."""

    def __init__(self, settings: Settings, webhook: Webhook, folder: Path) -> None:
        self.webhook = webhook
        self.instance = dg.DagsterInstance.ephemeral(tempdir=str(folder))
        self._settings = settings.model_copy(
            update={"alert_webhook_url": SecretStr(webhook.address), **SOON}
        )
        self._cursor: str | None = None

    def set(self, **changes: object) -> None:
        """Change settings from the next tick on."""
        self._settings = self._settings.model_copy(update=changes)

    def environment(self) -> Environment:
        settings = self._settings

        class OfStack(Environment):
            def settings(self) -> Settings:
                return settings

        return OfStack()

    def tick(self) -> None:
        """Evaluate the sensor once, and keep its cursor."""
        with dg.build_sensor_context(
            self.instance, self._cursor, resources={"environment": self.environment()}
        ) as context:
            result = alerts(context)
        assert isinstance(result, dg.SensorResult)
        self._cursor = result.cursor

    def until_it_fires(self, title: str) -> str:
        """Tick until the webhook has the message that an alert fires; its text."""
        [text] = self._until(title, 1)
        assert text.startswith(f"alert {title} fires: ")
        assert title in self.stored()
        return text

    def until_it_is_over(self, title: str) -> None:
        """Tick until the webhook has the second message of an alert, that it is over."""
        _, text = self._until(title, 2)
        assert text.startswith(f"alert {title} is over at ")
        assert title not in self.stored()

    def stored(self) -> list[str]:
        """The titles of the alerts that fire by `market.alerts`, where `status` reads them."""
        return [
            f"{alert.alert} ({alert.subject})" if alert.subject else alert.alert
            for alert in tables.firing_alerts(self._settings)
        ]

    def is_quiet(self, title: str) -> None:
        """Assert that a tick before the fault does not fire the alert."""
        self.tick()
        assert self.webhook.of(title) == []

    def _until(self, title: str, count: int) -> list[str]:
        def ticked() -> list[str]:
            self.tick()
            return self.webhook.of(title) if len(self.webhook.of(title)) >= count else []

        texts = eventually(ticked, f"{count} message(s) of {title}", 90)
        assert len(texts) == count
        return texts


@pytest.fixture
def alerting(settings: Settings, tmp_path: Path) -> Iterator[Alerting]:
    with running_webhook() as webhook:
        one = Alerting(settings, webhook, tmp_path)
        yield one
        one.instance.dispose()


def settle_all(settings: Settings) -> None:
    """Waive the gaps that other tests left."""
    waived = [replace(entry, state="waived") for entry in ledger.unsettled(ledger.ledger(settings))]
    with closing(clickhouse.connect(settings)) as client:
        gap_ledger.store(client, waived, now())


def streaming(live: Live, program: Program) -> None:
    """Wait until a producer has delivered events of its own connection."""
    live.beat_with(program, lambda last: last.rate > 0 and last.newest_event is not None)


@pytest.mark.long
def test_a_gap_that_nobody_fills_is_an_alert_until_it_is_verified(
    live: Live, programs: Programs, settings: Settings, alerting: Alerting
) -> None:
    first = live.start(*SYMBOLS)
    for name in ("filter", "sink"):
        programs.start(name)
    streaming(live, first)
    settle_all(settings)
    alerting.set(alert_gap_minutes=0.05)
    alerting.is_quiet("gap_open")
    first.kill()
    second = live.start(*SYMBOLS)
    [gap] = second.until(live.gaps, "a gap is in the ledger")
    assert "(crash) is open" in alerting.until_it_fires("gap_open")
    with (
        closing(GapFiller(settings, lambda _line: None)) as filler,
        closing(clickhouse.connect(settings)) as client,
    ):
        filled = filler.fill(gap_ledger.reported(gap), now())
        verified = filler.fill(filled, filled.verify_after or now())
        gap_ledger.store(client, [verified], now())
    alerting.until_it_is_over("gap_open")


@pytest.mark.long
def test_a_filter_that_hangs_is_a_lag_until_it_has_caught_up(
    live: Live, programs: Programs, alerting: Alerting
) -> None:
    streaming(live, live.start(*SYMBOLS))
    started = now()
    hanging = programs.start("filter")

    def has_caught_up() -> bool:
        """Also with the messages that an earlier test left in the topic."""
        waiting = pending_since(live.settings, FILTER_GROUP, RAW_TOPIC)
        last = beat(live.settings, "filter", started)
        is_prompt = waiting is None or now() - waiting < dt.timedelta(seconds=3)
        return last is not None and last.rate > 0 and is_prompt

    hanging.until(has_caught_up, "the filter has caught up")
    alerting.is_quiet("lag (filter)")
    hanging.send(signal.SIGSTOP)
    text = alerting.until_it_fires("lag (filter)")
    assert "the oldest unprocessed message has waited for" in text
    hanging.send(signal.SIGCONT)
    alerting.until_it_is_over("lag (filter)")


def test_a_vendor_that_sends_nothing_is_an_alert_which_status_shows(
    live: Live, settings: Settings, alerting: Alerting
) -> None:
    streaming(live, live.start(*SYMBOLS))
    alerting.is_quiet("silence")
    live.exchange.control("silence", seconds=600)
    assert "the newest event is" in alerting.until_it_fires("silence")
    shown = Status(settings).facts(now())["alerts"]
    assert "silence" in [alert["alert"] for alert in shown]
    live.exchange.clear()
    alerting.until_it_is_over("silence")


@pytest.mark.long
def test_a_clock_that_is_behind_is_an_alert_until_it_is_corrected(
    live: Live, alerting: Alerting
) -> None:
    alerting.is_quiet("clock_skew")
    behind = live.start(*SYMBOLS, prelude=CLOCK_8_SECONDS_BEHIND)
    assert "before their second ends" in alerting.until_it_fires("clock_skew")
    behind.stop()
    streaming(live, live.start(*SYMBOLS))
    alerting.until_it_is_over("clock_skew")


@pytest.mark.long
def test_damaged_events_are_an_alert_until_they_are_a_small_share(
    live: Live, alerting: Alerting
) -> None:
    streaming(live, live.start(*SYMBOLS))
    alerting.set(alert_refused_share=0.1)
    alerting.is_quiet("refusals (producer)")
    for _ in range(5):
        live.exchange.control("garbage", kind="event")
    assert "refused 15 of" in alerting.until_it_fires("refusals (producer)")
    alerting.until_it_is_over("refusals (producer)")


def test_a_day_that_cannot_be_proved_is_an_alert_until_it_is_closed(
    settings: Settings, alerting: Alerting
) -> None:
    calendar = MarketCalendar("24/7")
    day = calendar.day_of(now()) - 2 * ONE_DAY
    session = calendar.session(day)
    assert session
    noon = session.extended_open + ONE_DAY / 2
    gap = GapEntry("whole day", session.extended_open, session.extended_close, "late start")
    title = f"day_open ({day})"
    alerting.is_quiet(title)
    with closing(clickhouse.connect(settings)) as client:
        noon_ms = round(noon.timestamp() * 1000)
        first = Heartbeat("producer", "host:1:1", "streaming", noon_ms, noon_ms)
        heartbeat_history.store(client, [first])
        client.command(ROW, parameters={"at": noon})
        gap_ledger.store(client, [gap], now())
        alerting.until_it_fires(title)
        close_days(alerting)
        gap_ledger.store(client, [replace(gap, state="waived", note="a test")], now())
    close_days(alerting)
    alerting.until_it_is_over(title)


def close_days(alerting: Alerting) -> None:
    """One tick of the sensor that closes days."""
    with dg.build_sensor_context(
        alerting.instance, resources={"environment": alerting.environment()}
    ) as context:
        result = trading_day_closer(context)
    assert isinstance(result, dg.SensorResult), result
    for event in result.asset_events:
        assert not isinstance(event, dg.AssetCheckEvaluation)
        alerting.instance.report_runless_asset_event(event)


@pytest.mark.long
def test_a_failed_sync_is_an_alert_until_one_succeeds(
    live: Live, settings: Settings, alerting: Alerting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_sensor, "SYNCS_EVERY", dt.timedelta())
    title = f"sync_failed ({REFERENCE_CONNECTION})"
    alerting.is_quiet(title)
    with closing(AirbyteCalls(settings)) as api:

        def sync() -> str:
            job = api.start_sync(api.connection_id(REFERENCE_CONNECTION))
            ended = eventually(
                lambda: None if (current := api.outcome(job)).running else current, "the sync ends"
            )
            assert ended
            return ended.status

        live.exchange.control("refuse", entitlement="/v3/reference/exchanges")
        assert sync() == "failed"
        assert "403" in alerting.until_it_fires(title)
        live.exchange.clear()
        assert sync() == "succeeded"
    alerting.until_it_is_over(title)


@pytest.mark.usefixtures("stack")
def test_a_disk_that_is_nearly_full_is_an_alert_until_space_is_free(alerting: Alerting) -> None:
    """A file of 256 MB, of which half is too much; the disk is ClickHouse's too."""
    folder = Path(alerting.instance.root_directory)
    titles = (f"disk ({folder})", "clickhouse_disk (default)")
    size = 256 * 1024**2
    alerting.set(alert_disk_free_bytes=free_bytes(folder) - size // 2)
    for title in titles:
        alerting.is_quiet(title)
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    for title in titles:
        alerting.until_it_fires(title)
    ballast.unlink()
    for title in titles:
        alerting.until_it_is_over(title)


@pytest.mark.long
def test_a_program_that_keeps_dying_is_an_alert_until_it_lasts(
    programs: Programs, settings: Settings, alerting: Alerting
) -> None:
    title = "restart_loop (archiver)"
    alerting.set(alert_restarts=2)

    def started() -> Program:
        """A new process, once its heartbeat has come."""
        before = beat(settings, "archiver")
        program = programs.start("archiver")

        def is_new() -> bool:
            last = beat(settings, "archiver")
            return last is not None and (before is None or last.instance != before.instance)

        program.until(is_new, "a heartbeat of the new process")
        return program

    recorder = HeartbeatRecorder(settings)
    with recorder, HeartbeatListener(settings, "archiver", recorder.take):
        started().kill()
        alerting.is_quiet(title)
        started().kill()
        started()
        assert "restarted 2 times within 10 minutes" in alerting.until_it_fires(title)
    alerting.set(alert_restart_minutes=0.01)
    alerting.until_it_is_over(title)


@pytest.mark.long
def test_a_leader_without_a_standby_is_an_alert_until_one_waits(
    live: Live, programs: Programs, alerting: Alerting
) -> None:
    alerting.is_quiet("standby_missing")
    streaming(live, live.start(*SYMBOLS, PRODUCER_COPIES="2"))
    alerting.set(producer_copies=2)
    assert "0 of 1 standby(s)" in alerting.until_it_fires("standby_missing")
    programs.start("producer", PRODUCER_COPIES="2")
    alerting.until_it_is_over("standby_missing")


@pytest.mark.parametrize("server", ["clickhouse", pytest.param("kafka", marks=pytest.mark.long)])
def test_a_server_that_hangs_is_an_alert_and_ends_no_other_one(
    stack: Stack,
    settings: Settings,
    alerting: Alerting,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_facts, "DEADLINE_SECONDS", 3.0)
    settle_all(settings)
    ended = now() - dt.timedelta(hours=1)
    gap = GapEntry(f"before {server} hung", ended - dt.timedelta(minutes=1), ended, "crash")
    with closing(clickhouse.connect(settings)) as client:
        gap_ledger.store(client, [gap], now())
    alerting.until_it_fires("gap_open")
    process = stack.process(server)
    process.send(signal.SIGSTOP)
    try:
        alerting.tick()
        alerting.tick()
        [text] = alerting.webhook.of(f"unreadable ({server})")
    finally:
        process.send(signal.SIGCONT)
    assert text.startswith(f"alert unreadable ({server}) fires: ")
    assert len(alerting.webhook.of("gap_open")) == 1
    alerting.until_it_is_over(f"unreadable ({server})")
    settle_all(settings)
    alerting.until_it_is_over("gap_open")
