"""Which runner a run gets: STREAM_RUNNER decides.

Add a runner here; what it does belongs to its own module.
"""

from collections.abc import Callable

from polygon_assets.clients import ecs
from polygon_assets.clients.ecs import service_name
from polygon_assets.defs.graph.resources import StreamPrograms
from polygon_assets.defs.stream.deployed_runner import DeployedRunner, ProcessSource
from polygon_assets.defs.stream.ecs_runner import EcsLimits, EcsRunner
from polygon_assets.defs.stream.process_runner import ProcessRunner
from polygon_assets.defs.stream.runner import Runner
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.settings import Settings, SettingsError


def runner_for(
    settings: Settings,
    program: str,
    programs: StreamPrograms,
    heartbeats: ProcessSource,
    log: Callable[[str], None],
) -> Runner:
    """The runner of one program. Raises SettingsError without ECS_CLUSTER, and EcsRefusedError.

    A standby is a second task of the producer's service: the copies are the same program and
    choose their leader through Kafka, so one task definition and one deployment serve both, and
    ECS spreads the tasks of a service over the availability zones.
    """
    if settings.stream_runner == "process":
        return ProcessRunner(programs.command_for(program), log)
    if settings.stream_runner == "kubernetes":
        return DeployedRunner(heartbeats, log)
    if missing := missing_settings(settings, "ecs"):
        raise SettingsError(f"STREAM_RUNNER=ecs: {not_set(missing)}")
    return EcsRunner(
        ecs.connect(settings),
        service_name(settings, program),
        settings.copies(program),
        EcsLimits(settings.ecs_start_seconds),
        log,
    )
