"""When a message is due, how it is sent, and that neither a webhook nor a system loses one.

The faults themselves belong to processes/test_alerts.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import msgspec
import pytest
from pydantic import SecretStr

from polygon_assets.defs.graph import alert_sensor
from polygon_assets.defs.graph.alert_facts import days_never_closed, read_facts
from polygon_assets.defs.graph.alert_sensor import AlertError, alerts, failure_cause, post_alert
from polygon_assets.defs.graph.alert_state import AlertState, advance, as_cursor, read_state
from polygon_assets.defs.graph.keys import ALERTS_TABLE, STOCK_AGGREGATES
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.inspection.alert_rules import ALERTS, Causes, judge
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets.market_clock import WALL_CLOCK
from polygon_assets.messages import PROGRAMS
from polygon_assets.settings import Settings
from polygon_assets_tests.ecs_cluster import running_ecs
from polygon_assets_tests.unit.defs.conftest import ALWAYS_OPEN, NothingSet
from polygon_assets_tests.unit.defs.ticks import reason, tick
from polygon_assets_tests.webhook import Webhook, running_webhook

NOW = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
SETTINGS = Settings()
LAG: dict[str, Causes | None] = {"lag": {"sink": "61 s, more than 60"}}
GAP: dict[str, Causes | None] = {"gap_open": {"": "1 gap(s)"}}
DISK: dict[str, Causes | None] = {"disk": {"/data": "1.99 GB are free"}}
NONE: dict[str, Causes | None] = {}


class Ticks:
    """Ticks of the pure function, one after the other."""

    def __init__(self) -> None:
        self.state = AlertState()

    def at(
        self, seconds: float, judged: Mapping[str, Causes | None], settings: Settings = SETTINGS
    ) -> list[str]:
        """The new messages of a tick; an alert that is not named is judged good."""
        good: dict[str, Causes | None] = {alert.name: {} for alert in ALERTS}
        now = NOW + dt.timedelta(seconds=seconds)
        state, messages = advance(self.state, good | dict(judged), settings, now)
        self.state = read_state(as_cursor(state))
        return list(messages)


def test_a_cause_becomes_one_message_when_it_has_lasted_and_one_when_it_is_over() -> None:
    ticks = Ticks()
    assert [ticks.at(seconds, LAG) for seconds in (0, 30, 59)] == [[], [], []]
    [fires] = ticks.at(60, LAG)
    assert fires.startswith(
        "alert lag (sink) fires: 61 s, more than 60 (since 2026-11-20 15:00:00 UTC). "
        "What to do: read the log of the program's run"
    )
    assert [ticks.at(seconds, LAG) for seconds in (90, 120)] == [[], []]
    assert ticks.at(150, NONE) == [
        "alert lag (sink) is over at 2026-11-20 15:02:30 UTC, after 2.5 minutes"
    ]
    assert ticks.at(180, NONE) == []
    assert len(ticks.state.outbox) == 2


def test_a_cause_that_ends_sooner_is_no_message() -> None:
    ticks = Ticks()
    assert [ticks.at(0, LAG), ticks.at(30, NONE), ticks.at(60, LAG), ticks.at(119, LAG)] == [[]] * 4


def test_causes_that_have_lasted_by_themselves_are_a_message_at_once() -> None:
    assert len(Ticks().at(0, GAP | DISK)) == 2


def test_each_subject_of_an_alert_has_its_own_messages() -> None:
    ticks = Ticks()
    both: Mapping[str, Causes | None] = {"sync_failed": {"one": "403", "two": "500"}}
    one: Mapping[str, Causes | None] = {"sync_failed": {"one": "403"}}
    assert len(ticks.at(0, both)) == 2
    assert [text.partition(" is over")[0] for text in ticks.at(30, one)] == [
        "alert sync_failed (two)"
    ]


def test_an_unknown_alert_keeps_its_state() -> None:
    ticks = Ticks()
    ticks.at(0, GAP)
    ticks.at(30, GAP | LAG)
    assert ticks.at(60, {"gap_open": None, "lag": None}) == []
    assert [cause.alert for cause in ticks.state.causes] == ["gap_open", "lag"]
    assert [alert.alert for alert in ticks.state.firing] == ["gap_open"]
    assert len(ticks.at(90, LAG)) == 2, "the gap is over, the lag has lasted"


def test_a_firing_alert_is_repeated_after_the_hours_of_the_setting() -> None:
    ticks, hour = Ticks(), 3_600
    hourly = Settings(alert_reminder_hours=1)
    assert len(ticks.at(0, GAP, hourly)) == 1
    assert ticks.at(hour - 1, GAP, hourly) == []
    [reminder] = ticks.at(hour, GAP, hourly)
    assert reminder.startswith("alert gap_open still fires: ")
    assert ticks.at(2 * hour - 1, GAP, hourly) == []
    assert ticks.at(99 * hour, GAP, Settings(alert_reminder_hours=0)) == []


def test_after_a_pause_of_the_sensor_a_cause_must_last_anew_but_a_firing_one_goes_on() -> None:
    ticks = Ticks()
    ticks.at(0, LAG | GAP)
    assert ticks.at(9_000, LAG | GAP) == []
    assert ticks.at(9_059, LAG | GAP) == []
    [fires] = ticks.at(9_060, LAG | GAP)
    assert "lag (sink) fires" in fires


class Posting(Environment):
    """The webhook, and nothing else that answers: Kafka and ClickHouse are away."""

    address: str

    def settings(self) -> Settings:
        return ALWAYS_OPEN.model_copy(
            update={"alert_webhook_url": SecretStr(self.address), "alert_hold_seconds": 0.0}
        )


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with running_webhook() as one:
        yield one


def cursor_of(answer: dg.SensorResult | dg.SkipReason) -> str:
    assert isinstance(answer, dg.SensorResult)
    return answer.cursor or ""


class TestSensor:
    def test_systems_that_do_not_answer_are_an_alert_themselves(
        self, instance: dg.DagsterInstance, webhook: Webhook
    ) -> None:
        answer = tick(alerts, instance, Posting(address=webhook.address))
        assert isinstance(answer, dg.SensorResult)
        [event] = answer.asset_events
        assert isinstance(event, dg.AssetMaterialization)
        assert event.asset_key == ALERTS_TABLE
        assert event.metadata["firing_alerts"].value == 2
        assert [text[:40] for text in sorted(webhook.texts)] == [
            "alert unreadable (clickhouse) fires: Cli",
            "alert unreadable (kafka) fires: Kafka: 1",
        ]
        again = tick(alerts, instance, Posting(address=webhook.address), answer.cursor)
        assert len(webhook.texts) == 2
        assert "firing: unreadable (kafka), unreadable (clickhouse)" in reason(again)

    def test_a_webhook_that_refuses_loses_no_message(
        self, instance: dg.DagsterInstance, webhook: Webhook
    ) -> None:
        environment = Posting(address=webhook.address)
        webhook.status = 500
        cursor = cursor_of(tick(alerts, instance, environment))
        assert len(read_state(cursor).outbox) == 2
        cursor = cursor_of(tick(alerts, instance, environment, cursor))
        assert webhook.texts == []
        webhook.status = 200
        cursor = cursor_of(tick(alerts, instance, environment, cursor))
        assert len(webhook.texts) == 2
        assert read_state(cursor).outbox == ()

    def test_a_webhook_that_hangs_stops_no_tick_and_loses_no_message(
        self, instance: dg.DagsterInstance, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        environment = Posting(address=webhook.address)
        webhook.hangs.set()
        with (
            monkeypatch.context() as patch,
            dg.build_sensor_context(instance, resources={"environment": environment}) as context,
        ):
            patch.setattr(alert_sensor, "TIMEOUT_SECONDS", 0.2)
            answer = alerts(context)
            assert isinstance(answer, dg.SensorResult)
        assert len(read_state(answer.cursor).outbox) == 2
        webhook.hangs.clear()
        tick(alerts, instance, environment, answer.cursor)
        assert len(webhook.texts) == 2

    def test_a_slow_webhook_gets_the_rest_at_the_next_tick(
        self, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(alert_sensor, "DELIVERY_SECONDS", -1.0)
        left, problem = alert_sensor.deliver(posting_to(webhook.address), ("one", "two"))
        assert left == ("one", "two")
        assert problem

    def test_a_refused_message_waits_and_holds_up_no_other(self, webhook: Webhook) -> None:
        webhook.refuses = "bad"
        left, problem = alert_sensor.deliver(posting_to(webhook.address), ("bad one", "two"))
        assert (left, problem) == (("bad one",), "the webhook answered HTTP 400")
        assert webhook.texts == ["two"]

    def test_a_long_message_is_cut_and_the_oldest_waiting_ones_are_given_up(
        self, webhook: Webhook
    ) -> None:
        settings = posting_to(webhook.address)
        assert alert_sensor.deliver(settings, ("x" * 100_000,)) == ((), "")
        [text] = webhook.texts
        assert len(text) == alert_sensor.LONGEST_TEXT
        assert text.endswith("(the log has the rest)")
        webhook.status = 503
        many = [str(number) for number in range(alert_sensor.MOST_WAITING + 1)]
        assert alert_sensor.deliver(settings, many)[0] == tuple(many[1:])

    def test_the_messages_keep_their_order(self, webhook: Webhook) -> None:
        assert alert_sensor.deliver(posting_to(webhook.address), ("one", "two")) == ((), "")
        assert webhook.texts == ["one", "two"]

    def test_with_nothing_set_no_alert_fires(self, instance: dg.DagsterInstance) -> None:
        assert reason(tick(alerts, instance, NothingSet())) == "no alert fires"

    def test_each_failed_run_is_one_message_with_its_cause(self, webhook: Webhook) -> None:
        """In an instance like `make dev`'s, whose event log has one database for each run."""
        environment = Posting(address=webhook.address)

        def fail() -> str:
            config = {"ops": {"broken": {"config": "refused"}}}
            run = breaking.execute_in_process(config, instance=instance, raise_on_error=False)
            return f"breaking failed (run {run.run_id[:8]}): producer: the vendor refused the key"

        with dg.instance_for_test() as instance:
            before = fail()
            cursor = cursor_of(tick(alerts, instance, environment))
            webhook.texts.clear()
            webhook.status = 500
            failed = [fail(), fail()]
            cursor = cursor_of(tick(alerts, instance, environment, cursor))
            webhook.status = 200
            failed.append(fail())
            for _ in range(2):
                cursor = cursor_of(tick(alerts, instance, environment, cursor))
        assert webhook.texts == failed
        assert before not in webhook.texts


class TestOpenDays:
    CALENDAR = MarketCalendar("NYSE")
    FIRST_BEAT = dt.datetime(2026, 11, 17, 15, 0, tzinfo=dt.UTC)

    def never_closed(self, instance: dg.DagsterInstance, first: dt.datetime | None) -> list[int]:
        days = days_never_closed(instance, self.CALENDAR, WALL_CLOCK, first, NOW)
        return [day.day for day in days]

    def test_settled_days_since_the_first_heartbeat_are_open_until_they_are_closed(
        self, instance: dg.DagsterInstance
    ) -> None:
        assert self.never_closed(instance, self.FIRST_BEAT) == [17, 18, 19]
        instance.report_runless_asset_event(
            dg.AssetMaterialization(STOCK_AGGREGATES, partition="2026-11-18")
        )
        assert self.never_closed(instance, self.FIRST_BEAT) == [17, 19]

    def test_without_a_heartbeat_nothing_was_to_be_closed(
        self, instance: dg.DagsterInstance
    ) -> None:
        assert self.never_closed(instance, None) == []

    def test_without_clickhouse_it_is_unknown_which_days_are_open(
        self, instance: dg.DagsterInstance
    ) -> None:
        assert read_facts(instance, ALWAYS_OPEN, False, NOW).open_days is None


def test_a_task_that_does_not_start_is_an_alert_and_an_ecs_that_is_away_is_another(
    instance: dg.DagsterInstance,
) -> None:
    with running_ecs() as cluster:
        cluster.create(*(f"polygon-assets-{program}" for program in PROGRAMS), desired=1)
        cluster.starts, cluster.event = False, "was unable to place a task: no capacity"
        cluster.schedule()
        settings = cluster.settings(ecs_start_seconds=60)
        now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=61)
        causes = judge(read_facts(instance, settings, False, now), settings)["task_not_started"]
        assert causes is not None
        assert set(causes) == set(PROGRAMS)
        assert "no task has started for 6" in causes["producer"]
        assert "no capacity" in causes["producer"]
    away = settings.model_copy(update={"aws_endpoint_url_ecs": "http://127.0.0.1:1"})
    judged = judge(read_facts(instance, away, False, now), away)
    assert judged["task_not_started"] is None
    assert "127.0.0.1:1" in (judged["unreadable"] or {})["ecs"]
    local = judge(read_facts(instance, Settings(), False, now), Settings())
    assert local["task_not_started"] == {}


@dg.op(config_schema=str)
def broken(context: dg.OpExecutionContext) -> None:
    if context.op_config == "refused":
        raise dg.Failure("producer: the vendor refused the key")
    raise ValueError("no such file")


@dg.job
def breaking() -> None:
    broken()


def posting_to(address: str, **changes: Any) -> Settings:
    return Settings(alert_webhook_url=SecretStr(address), **changes)


class TestPost:
    @pytest.mark.parametrize(
        ("why", "message"),
        [
            ("refused", "producer: the vendor refused the key"),
            ("other", "ValueError: no such file"),
        ],
    )
    def test_the_text_says_why_a_step_failed(self, why: str, message: str) -> None:
        result = breaking.execute_in_process(
            {"ops": {"broken": {"config": why}}}, raise_on_error=False
        )
        (event,) = result.filter_events(lambda one: one.is_step_failure)
        assert failure_cause(event) == message

    def test_the_text_is_posted_without_secrets(self, webhook: Webhook) -> None:
        secret = "a-secret-of-the-vendor"
        settings = posting_to(webhook.address, polygon_api_key=SecretStr(secret))
        post_alert(settings, f"bad {secret}")
        assert webhook.texts == ["bad ***"]

    def test_without_an_address_nothing_happens(self) -> None:
        post_alert(posting_to(""), "run_sink failed")

    def test_a_refusal_does_not_show_the_address(self, webhook: Webhook) -> None:
        webhook.status = 500
        with pytest.raises(AlertError, match="HTTP 500") as caught:
            post_alert(posting_to(f"{webhook.address}/secret"), "text")
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        "address",
        ["secret-without-scheme", "http://127.0.0.1:1/secret", "http://127.0.0.1:1/a secret"],
    )
    def test_an_unusable_address_is_not_shown(self, address: str) -> None:
        with pytest.raises(AlertError) as caught:
            post_alert(posting_to(address), "text")
        assert "secret" not in str(caught.value)


def test_a_cursor_of_an_older_version_is_read_and_its_alerts_end() -> None:
    ticks = Ticks()
    ticks.at(0, GAP)
    old = msgspec.json.decode(as_cursor(ticks.state))
    old["causes"][0]["alert"] = "renamed_since"
    ticks.state = read_state(json.dumps(old))
    assert "alert renamed_since is over" in ticks.at(30, NONE)[0]
