"""When ECS scales the stream programs' services by itself, in New York time.

Add a scheduled scaling here; infrastructure code declares it at the service, because it is created
and deleted with the service and Dagster then needs no right to change it. Dagster decides by
session (`defs.stream.decisions`). This is the belt for a Dagster that is away: the programs start
before the open all the same, and never run through the night.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ScheduledScaling:
    """Limits of a service's desired count from a time of day on, Monday to Friday.

    A holiday is a weekday too: a Dagster that runs scales the services to 0 within half a minute.
    """

    name: str
    hour: int
    minute: int
    min_tasks: int
    max_tasks: int
    time_zone: str = "America/New_York"

    @property
    def schedule(self) -> str:
        """For Application Auto Scaling, which takes the time zone beside it."""
        return f"cron({self.minute} {self.hour} ? * MON-FRI *)"


def scheduled_scaling(tasks: int, most_tasks: int | None = None) -> tuple[ScheduledScaling, ...]:
    """The two actions of a service that is to run `tasks`, up to `most_tasks` where it scales.

    The first is as early as Dagster's start (OPENING_LEAD), so that neither undoes the other; the
    second comes after the revision window and the longest draining (DRAIN_PATIENCE).
    """
    return (
        ScheduledScaling("before-open", 3, 55, tasks, most_tasks or tasks),
        ScheduledScaling("after-close", 20, 45, 0, 0),
    )
