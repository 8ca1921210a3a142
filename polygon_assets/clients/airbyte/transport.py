"""How a request reaches Airbyte: the access token, retries, and errors that name the cure.

Change here when a request is repeated or how its failure is reported; the requests themselves
belong to `api`.
"""

import time
from collections.abc import Callable
from typing import Any

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter
from urllib3.exceptions import MaxRetryError, NewConnectionError

from polygon_assets.clients import tls
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.settings import Settings

PATIENCE_SECONDS = 30.0
# Some requests wait for a discovery, which took up to two minutes when Airbyte had to start the
# connector's container first.
TIMEOUT_SECONDS = (5.0, 180.0)
CHECK_ADDRESSES = "check AIRBYTE_API_URL and AIRBYTE_CONFIGURATION_API_URL"
CURES = {
    401: "check AIRBYTE_CLIENT_ID and AIRBYTE_CLIENT_SECRET (Airbyte: Settings, Applications)",
    403: "the application of AIRBYTE_CLIENT_ID may not do this in workspace AIRBYTE_WORKSPACE_ID: "
    "it has the rights of the user who created it, who must be an editor of the workspace",
}
_TOKEN_RENEWAL_SECONDS = 30.0
"""A token is renewed this long before it expires, or after half its life if that is shorter."""

Json = dict[str, Any]


class AirbyteError(PolygonAssetsError):
    """Airbyte refused a request, or its answer cannot be used.

    The message names the endpoint, the HTTP status, Airbyte's own message and the cure.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AirbyteUnavailableError(AirbyteError):
    """Airbyte did not answer, or a server of its own failed; a later request may succeed."""


class _NeverSentError(AirbyteUnavailableError):
    """No connection was made, so even a request that must not happen twice can be repeated."""


class Transport:
    """Sends requests to the public and to the configuration API of one Airbyte.

    Every method raises AirbyteError, and AirbyteUnavailableError after retries for
    `patience_seconds`.
    """

    def __init__(
        self, settings: Settings, patience_seconds: float, sleep: Callable[[float], None]
    ) -> None:
        self._rest = settings.airbyte_api_url.rstrip("/")
        self._configuration = settings.airbyte_configuration_api_url.rstrip("/")
        self._credentials = {
            "client_id": settings.airbyte_client_id,
            "client_secret": settings.airbyte_client_secret.get_secret_value(),
        }
        self._session = requests.Session()
        self._verify = tls.verify(settings)
        self._conceal = settings.conceal
        self._patience_seconds = patience_seconds
        self._sleep = sleep
        self._token = ""
        self._token_expires = 0.0
        """When the token is renewed, on the monotonic clock."""

    def close(self) -> None:
        """Close the HTTP connections."""
        self._session.close()

    def get(self, path: str, **query: Any) -> Json:
        """Read from the public API, which is always repeatable."""
        return self._request_with_retries("GET", self._rest + path, params=query)

    def configure(self, path: str, body: Json) -> Json:
        """Call the configuration API: always POST, and every call of `api` is repeatable."""
        return self._request_with_retries("POST", self._configuration + path, json=body)

    def call(
        self, method: str, path: str, body: Json | None = None, *, repeatable: bool = True
    ) -> Json:
        """Call the public API; a call that must not happen twice is not `repeatable`."""
        return self._request_with_retries(
            method, self._rest + path, repeatable=repeatable, json=body
        )

    def _request_with_retries(
        self, method: str, url: str, *, repeatable: bool = True, **request: Any
    ) -> Json:
        """One call; a call that is not repeatable is retried only while it was never sent."""
        retrying = Retrying(
            retry=retry_if_exception_type(
                AirbyteUnavailableError if repeatable else _NeverSentError
            ),
            wait=wait_exponential_jitter(multiplier=0.2, max=5),
            stop=stop_after_delay(self._patience_seconds),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._authorized_request, method, url, **request)

    def _authorized_request(self, method: str, url: str, **request: Any) -> Json:
        """Send one request, and again with a new token when the server rejects the old one."""
        try:
            return self._request(method, url, headers=self._authorization(), **request)
        except AirbyteError as error:
            if error.status != 401:
                raise
        self._token_expires = 0.0
        return self._request(method, url, headers=self._authorization(), **request)

    def _authorization(self) -> dict[str, str]:
        now = time.monotonic()
        if now >= self._token_expires:
            answer = self._request(
                "POST", f"{self._rest}/applications/token", json=self._credentials
            )
            seconds = float(answer.get("expires_in", 0))
            self._token = str(answer["access_token"])
            self._token_expires = now + max(seconds - _TOKEN_RENEWAL_SECONDS, seconds / 2)
        return {"Authorization": f"Bearer {self._token}"}

    def _request(self, method: str, url: str, **request: Any) -> Json:
        endpoint = f"{method} {url}"
        try:
            answer = self._session.request(
                method, url, timeout=TIMEOUT_SECONDS, verify=self._verify, **request
            )
        except requests.ConnectionError as error:
            error_class = _NeverSentError if _never_sent(error) else AirbyteUnavailableError
            raise error_class(f"{endpoint}: no answer: {error}; {CHECK_ADDRESSES}") from error
        except requests.RequestException as error:
            raise AirbyteUnavailableError(f"{endpoint}: {error}") from error
        if not answer.ok:
            raise _refusal(endpoint, answer, self._conceal)
        return _json(endpoint, answer)


def _json(endpoint: str, answer: requests.Response) -> Json:
    try:
        return answer.json() if answer.content else {}
    except ValueError as error:
        raise AirbyteError(
            f"{endpoint}: not JSON: {answer.text[:100]!r}; {CHECK_ADDRESSES}", answer.status_code
        ) from error


def _never_sent(error: requests.ConnectionError) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.ConnectTimeout) or (
        isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)
    )


def _refusal(
    endpoint: str, answer: requests.Response, conceal: Callable[[str], str]
) -> AirbyteError:
    cure = CURES.get(answer.status_code)
    problem = conceal(_problem_message(answer))[:1000]
    message = f"{endpoint}: HTTP {answer.status_code}: {problem}"
    if cure:
        message += f"; {cure}"
    if answer.status_code == 429 or answer.status_code >= 500:
        return AirbyteUnavailableError(message, answer.status_code)
    return AirbyteError(message, answer.status_code)


def _problem_message(answer: requests.Response) -> str:
    """Airbyte's own message, the most specific one of its problem object.

    `data.message` is about this request; `detail` is the same for every problem of the type.
    """
    try:
        problem = answer.json()
    except ValueError:
        return answer.text or answer.reason
    if not isinstance(problem, dict):
        return str(problem)
    data = problem.get("data")
    specific = data.get("message") if isinstance(data, dict) else None
    return str(specific or problem.get("detail") or problem.get("message") or problem)
