"""HTTP for both APIs: routes, authentication, bodies, pages, and problems as answers.

Add HTTP handling here; endpoints belong to `public_api` and `configuration_api`.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from polygon_assets.local.airbyte.api.problems import (
    Problem,
    bad_request,
    no_endpoint,
    unexpected,
    unprocessable,
)
from polygon_assets.local.airbyte.api.tokens import Tokens
from polygon_assets.local.airbyte.workspace.objects import Json

logger = logging.getLogger(__name__)
T = TypeVar("T")
_DEFAULT_LIMIT, _MAX_LIMIT = 20, 100
_MOST_DIGITS = 18


@dataclass(frozen=True)
class Call:
    """One request: `address` is its URL without the query, `now` its arrival (Unix seconds)."""

    address: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    now: float

    def read(self, kind: type[T]) -> T:
        """The decoded body. Raises Problem 422 with the name of the wrong field."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.DecodeError as error:
            raise unprocessable(f"request body: {error}") from error

    def read_form(self, kind: type[T]) -> T:
        """The body of a token request: JSON as in Airbyte's documentation, or a form as in OAuth 2.

        Raises Problem 422.
        """
        if self.body.lstrip().startswith(b"{"):
            return self.read(kind)
        try:
            return msgspec.convert(dict(parse_qsl(self.body.decode())), kind)
        except (msgspec.ValidationError, UnicodeDecodeError) as error:
            raise unprocessable(f"request body: {error}") from error

    def matches(self, name: str, value: str) -> bool:
        """Whether the query's filter `name`, which may be repeated, has the value or is absent."""
        accepted = [text for text in QueryParams(self.query).getlist(name) if text]
        return not accepted or value in accepted

    def number(self, name: str, default: int) -> int:
        """A number from the query. Raises Problem 400."""
        text = self.query.get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
            raise bad_request(f"{name}={text!r} is not a number")
        return int(text)

    def page(self, items: Sequence[Json]) -> Json:
        """The requested page, with the addresses of its neighbours.

        As in Airbyte, only an empty page has no next page.
        """
        limit = max(1, min(self.number("limit", _DEFAULT_LIMIT), _MAX_LIMIT))
        offset = self.number("offset", 0)
        data = items[offset : offset + limit]
        previous_page = self._page_address(limit, max(0, offset - limit)) if offset else ""
        return {
            "data": data,
            "previous": previous_page,
            "next": self._page_address(limit, offset + limit) if data else "",
        }

    def _page_address(self, limit: int, offset: int) -> str:
        return f"{self.address}?{urlencode({**self.query, 'limit': limit, 'offset': offset})}"


@dataclass(frozen=True)
class Endpoint:
    """A method and a path; `handle` returns the answer's JSON, or None for no body."""

    method: str
    path: str
    handle: Callable[[Call], Any]
    public: bool = False
    """Whether the endpoint answers without a token."""

    def under(self, root: str) -> "Endpoint":
        return replace(self, path=root + self.path)


def application(endpoints: Sequence[Endpoint], tokens: Tokens) -> Starlette:
    """The ASGI application of these endpoints; every other path is Problem 404."""
    paths = dict.fromkeys(endpoint.path for endpoint in endpoints)
    return Starlette(
        routes=[
            *(
                Route(
                    path,
                    _answering(
                        {item.method: item for item in endpoints if item.path == path}, tokens
                    ),
                    methods=_METHODS,
                )
                for path in paths
            ),
            Route("/{path:path}", _answering({}, tokens), methods=_METHODS),
        ]
    )


_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def _answering(
    by_method: Mapping[str, Endpoint], tokens: Tokens
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            now = time.time()
            endpoint = by_method.get(request.method)
            if not (endpoint and endpoint.public):
                tokens.check(request.headers.get("authorization", ""), now)
            if not endpoint:
                raise no_endpoint(request.method, request.url.path)
            call = Call(
                str(request.url.replace(query="")),
                request.path_params,
                request.query_params,
                await request.body(),
                now,
            )
            # In a thread, because some answers take seconds: a discovery, a cancellation.
            return _response(200, await run_in_threadpool(endpoint.handle, call))
        except Problem as problem:
            logger.info(
                "%s %s: %d %s", request.method, request.url.path, problem.status, problem.content
            )
            return _response(problem.status, problem.content)
        except Exception:
            logger.exception("%s %s", request.method, request.url.path)
            return _response(500, unexpected().content)

    return answer


def _response(status: int, content: Any) -> Response:
    if content is None:
        return Response(status_code=204)
    return Response(msgspec.json.encode(content), status, media_type="application/json")
