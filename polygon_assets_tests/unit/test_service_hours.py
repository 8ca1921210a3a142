"""The scheduled scaling: it covers every session, agrees with Dagster, and AWS's API takes it."""

import datetime as dt
from zoneinfo import ZoneInfo

from polygon_assets.defs.stream.decisions import DRAIN_PATIENCE, OPENING_LEAD
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar
from polygon_assets.service_hours import ScheduledScaling, scheduled_scaling
from polygon_assets_tests.ecs_cluster import CLUSTER, running_ecs

SERVICE = "polygon-assets-producer"


def moment(action: ScheduledScaling, day: dt.date) -> dt.datetime:
    zone = ZoneInfo(action.time_zone)
    return dt.datetime.combine(day, dt.time(action.hour, action.minute), zone)


def test_each_session_of_two_years_lies_between_the_two_actions_of_its_day() -> None:
    before_open, after_close = scheduled_scaling(1)
    calendar = MarketCalendar("NYSE")
    days = list(calendar.trading_days(dt.date(2026, 1, 2), dt.date(2027, 12, 31)))
    assert len(days) > 500
    for day in days:
        session = calendar.session(day)
        assert session is not None
        assert day.weekday() < 5
        assert moment(before_open, day) <= session.extended_open - OPENING_LEAD
        assert moment(after_close, day) > session.settled_at + DRAIN_PATIENCE


def test_it_never_starts_what_dagster_would_stop_at_once() -> None:
    before_open, _ = scheduled_scaling(1)
    session = MarketCalendar("NYSE").session(dt.date(2026, 11, 20))
    assert session is not None
    assert moment(before_open, session.day) == session.extended_open - OPENING_LEAD


def test_a_standby_and_autoscaling_raise_the_limits() -> None:
    assert [(part.min_tasks, part.max_tasks) for part in scheduled_scaling(2)] == [(2, 2), (0, 0)]
    assert scheduled_scaling(1, most_tasks=4)[0].max_tasks == 4


def test_application_auto_scaling_takes_the_actions_in_new_york_time() -> None:
    with running_ecs() as cluster:
        cluster.create(SERVICE)
        scaling = cluster.client("application-autoscaling")
        target = {
            "ServiceNamespace": "ecs",
            "ResourceId": f"service/{CLUSTER}/{SERVICE}",
            "ScalableDimension": "ecs:service:DesiredCount",
        }
        scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=2)
        for action in scheduled_scaling(2):
            scaling.put_scheduled_action(
                **target,
                ScheduledActionName=action.name,
                Schedule=action.schedule,
                Timezone=action.time_zone,
                ScalableTargetAction={
                    "MinCapacity": action.min_tasks,
                    "MaxCapacity": action.max_tasks,
                },
            )
        stored = scaling.describe_scheduled_actions(ServiceNamespace="ecs")["ScheduledActions"]
    assert [
        (one["Schedule"], one["Timezone"], one["ScalableTargetAction"]["MaxCapacity"])
        for one in stored
    ] == [
        ("cron(55 3 ? * MON-FRI *)", str(NEW_YORK), 2),
        ("cron(45 20 ? * MON-FRI *)", str(NEW_YORK), 0),
    ]
