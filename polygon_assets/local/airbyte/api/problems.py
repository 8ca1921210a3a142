"""Airbyte's errors: RFC 9457 problems with Airbyte's types and titles.

Add a kind of problem here; the decision to refuse a request belongs to its endpoint.
"""

from typing import Any

from polygon_assets.errors import PolygonAssetsError

_REFERENCE = "https://reference.airbyte.com/reference/errors"


class Problem(PolygonAssetsError):  # noqa: N818 - the API's own word
    """An error answer: `status` for HTTP and `content` for the body."""

    def __init__(
        self, status: int, title: str, detail: str, data: dict[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.content: dict[str, Any] = {
            "status": status,
            "type": f"{_REFERENCE}#{title}",
            "title": title,
            "detail": detail,
        } | ({"data": data} if data else {})


def not_found(kind: str, identifier: object) -> Problem:
    """The problem of an unknown object; `kind` is the API's name for its type."""
    data = {
        "resourceType": kind,
        "resourceId": str(identifier),
        "message": f"there is no {kind} {identifier} in this workspace",
    }
    return Problem(404, "resource-not-found", "The requested resource could not be found.", data)


def no_endpoint(method: str, path: str) -> Problem:
    return Problem(404, "resource-not-found", f"{method} {path} is not an endpoint of this server")


def unauthorized() -> Problem:
    return Problem(401, "invalid-api-key", "The API key in the Authorization header is invalid.")


def bad_request(message: str) -> Problem:
    return Problem(
        400,
        "bad-request",
        "The request could not be understood by the server due to malformed syntax.",
        {"message": message},
    )


def unprocessable(message: str) -> Problem:
    return Problem(
        422,
        "unprocessable-entity",
        "The body of the request was not understood",
        {"message": message},
    )


def try_again_later(message: str) -> Problem:
    return Problem(409, "try-again-later", "Please try again later.", {"message": message})


def state_conflict(message: str) -> Problem:
    return Problem(409, "state-conflict", "State conflict", {"message": message})


def sync_is_running() -> Problem:
    return Problem(
        423, "locked", "State cannot be updated while a sync is running for this connection."
    )


def unexpected() -> Problem:
    return Problem(
        500,
        "unexpected-problem",
        "An unexpected problem has occurred; the server's log has the error.",
    )
