"""What the client makes of ECS's answers: pages of tasks, passing failures, and refusals."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from polygon_assets.clients import ecs
from polygon_assets.clients.ecs import Ecs, EcsRefusedError, EcsUnreachableError
from polygon_assets.settings import Settings

ARN = "arn:aws:ecs:us-east-1:123456789012:task/streams/"
NOON = dt.datetime(2026, 11, 20, 17, 0, tzinfo=dt.UTC)
SERVICE = {
    "serviceName": "sink",
    "status": "ACTIVE",
    "desiredCount": 1,
    "runningCount": 1,
    "events": [{"createdAt": NOON, "message": f"event {number}"} for number in range(100)],
}


@pytest.fixture
def answers() -> Iterator[tuple[Ecs, Stubber]]:
    connected = ecs.connect(
        Settings(ecs_cluster="streams", aws_access_key_id="a", aws_secret_access_key="b")
    )
    with Stubber(connected._client) as stubber:
        yield connected, stubber


def test_tasks_of_several_pages_are_read_once_with_what_ecs_says_of_their_end(
    answers: tuple[Ecs, Stubber],
) -> None:
    connected, stubber = answers
    stubber.add_response("describe_services", {"services": [SERVICE]})
    running = {
        "taskArn": f"{ARN}aa",
        "lastStatus": "RUNNING",
        "createdAt": NOON,
        "startedAt": NOON,
        "containers": [{"name": "program"}],
    }
    stopped: dict[str, Any] = {
        "taskArn": f"{ARN}bb",
        "lastStatus": "STOPPED",
        "createdAt": NOON,
        "stoppedAt": NOON,
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "containers": [{"name": "program", "exitCode": 10, "reason": "an error"}],
    }
    stopping = running | {"taskArn": f"{ARN}bb", "lastStatus": "STOPPING"}
    for page, task in (("next", running), (None, stopping), (None, stopped)):
        answer = {"taskArns": [task["taskArn"]]} | ({"nextToken": page} if page else {})
        stubber.add_response("list_tasks", answer)
        stubber.add_response("describe_tasks", {"tasks": [task]})
    service = connected.service("sink")
    stubber.assert_no_pending_responses()
    assert service.events == tuple(f"17:00:00 UTC event {number}" for number in range(3))
    first, second = service.tasks
    assert (first.id, first.started_at, first.exit_code) == ("aa", NOON, None)
    assert (second.exit_code, second.started_at) == (10, None), "it ended before it counted"
    assert second.stopped_reason == "Essential container in task exited"
    assert second.container_reason == "an error"


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 400, EcsUnreachableError),
        ("ExpiredTokenException", 400, EcsUnreachableError),
        ("ServerException", 500, EcsUnreachableError),
        ("ServiceUnavailable", 503, EcsUnreachableError),
        ("AccessDeniedException", 400, EcsRefusedError),
        ("ServiceNotActiveException", 400, EcsRefusedError),
        ("UnrecognizedClientException", 400, EcsRefusedError),
    ],
)
def test_a_failure_that_passes_is_told_apart_from_a_refusal(
    code: str, status: int, kind: type[Exception], answers: tuple[Ecs, Stubber]
) -> None:
    connected, stubber = answers
    stubber.add_client_error("update_service", code, "no", http_status_code=status)
    with pytest.raises(kind, match=f"ECS, service sink of cluster streams: .*{code}"):
        connected.scale("sink", 1)


@pytest.mark.parametrize("services", [[], [SERVICE | {"status": "INACTIVE"}]])
def test_a_service_that_is_not_deployed_is_named(
    services: list[dict[str, Any]], answers: tuple[Ecs, Stubber]
) -> None:
    connected, stubber = answers
    stubber.add_response("describe_services", {"services": services})
    with pytest.raises(EcsRefusedError, match="cluster streams has no active service sink"):
        connected.services(["sink"])


def test_an_unusable_address_is_named() -> None:
    with pytest.raises(EcsRefusedError, match="AWS_ENDPOINT_URL_ECS='ecs:80'"):
        ecs.connect(Settings(aws_endpoint_url_ecs="ecs:80"))
