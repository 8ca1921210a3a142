"""Which process this is, as its heartbeats name it and as whoever runs it knows it.

Add another place to run programs here; what a supervision concludes from the name belongs to
`defs.stream`.
"""

import json
import os
import socket
import time
import urllib.error
import urllib.request
from http.client import HTTPException

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.messages import process_on_ecs, process_on_host
from polygon_assets.settings import Settings

ATTEMPTS = 5
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 2.0
"""The agent that answers runs on the same host."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""No proxy reaches that host's own address."""


class ProcessIdentityError(PolygonAssetsError):
    """ECS does not name the task: no supervision could recognise this program's heartbeats."""


def this_process(settings: Settings) -> str:
    """`host:pid`, or `ecs-task:ID` in a container of ECS. Raises ProcessIdentityError."""
    if address := settings.ecs_container_metadata_uri_v4:
        return process_on_ecs(_task_id(address))
    return process_on_host(socket.gethostname(), os.getpid())


def _task_id(address: str) -> str:
    """The last part of the task's ARN; asked several times, because the agent may be starting."""
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        try:
            with _DIRECT.open(f"{address}/task", timeout=TIMEOUT_SECONDS) as answer:
                arn = json.load(answer)["TaskARN"]
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
            reason = repr(error)
            continue
        if isinstance(arn, str) and (task_id := arn.rpartition("/")[2]):
            return task_id
        reason = f"TaskARN is {arn!r}"
    raise ProcessIdentityError(
        f"ECS_CONTAINER_METADATA_URI_V4={address!r} does not name this task: {reason}. ECS sets "
        "the variable in its containers; unset it where the program does not run on ECS"
    )
