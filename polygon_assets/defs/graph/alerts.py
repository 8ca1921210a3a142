"""Alerts: which events are sent to people outside Dagster, and how.

Add an event or a channel of alerts here; every failed run is one.
"""

import json
import urllib.error
import urllib.request
from http.client import HTTPException

import dagster as dg

from polygon_assets.clients import tls
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings

TIMEOUT_SECONDS = 10


class AlertError(PolygonAssetsError):
    """The alert was not delivered; the message names the cause, never the address, a secret."""


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
    post_alert(environment.settings(), text)


def failure_cause(event: dg.DagsterEvent) -> str:
    """Why a step failed: the description of its dg.Failure, or the first error of the chain."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error and error.cause:
        error = error.cause
    return error.message.strip() if error else event.message or "no reason given"


def post_alert(settings: Settings, text: str) -> None:
    """POST {"text": ...}, the form that Slack and others accept; without an address, do nothing.

    Raises AlertError.
    """
    webhook_url = settings.alert_webhook_url.get_secret_value()
    if not webhook_url:
        return
    try:
        request = urllib.request.Request(
            webhook_url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(
            request, timeout=TIMEOUT_SECONDS, context=tls.context(settings)
        ).close()
    except urllib.error.HTTPError as error:
        error.close()
        raise AlertError(f"the webhook answered HTTP {error.code}") from None
    except OSError as error:
        raise AlertError(f"the webhook cannot be reached: {error}") from None
    except (HTTPException, ValueError):
        raise AlertError("ALERT_WEBHOOK_URL is not an address") from None
