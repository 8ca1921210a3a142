"""The sensors of the whole graph: alerts on failed runs, and the automation conditions.

Add a sensor here when it concerns both halves; others belong to `defs.stream` or `defs.batch`.
"""

import dagster as dg

from polygon_assets.defs.graph.alerts import post_alert
from polygon_assets.defs.graph.resources import Environment


@dg.run_failure_sensor(
    name="alert_on_failure",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Logs each failed run and posts it to ALERT_WEBHOOK_URL when that is set.",
)
def alert_on_failure(context: dg.RunFailureSensorContext, environment: Environment) -> None:
    run = context.dagster_run
    step_causes = "; ".join(map(failure_cause, context.get_step_failure_events()))
    cause = step_causes or context.failure_event.message
    text = f"{run.job_name} failed (run {run.run_id[:8]}): {cause}"
    context.log.error(text)
    post_alert(environment.settings().alert_webhook_url.get_secret_value(), text)


def failure_cause(event: dg.DagsterEvent) -> str:
    """Why a step failed: the description of its dg.Failure, or the first error of the chain."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error and error.cause:
        error = error.cause
    return error.message.strip() if error else event.message or "no reason given"


AUTOMATION = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Evaluates the automation conditions of the assets: daily tables follow the proof "
    "of their day.",
)

GRAPH_SENSORS = (alert_on_failure, AUTOMATION)
