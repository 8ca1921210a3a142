"""Access tokens of the one application: issued for its id and secret, valid for a while, also across a restart of the server.

Who needs a token is `http`'s business.
"""

import hmac
from hashlib import sha256

from polygon_assets.local.airbyte.api.problems import unauthorized

LIFETIME_SECONDS = 180
"""As in Airbyte Cloud."""


class Tokens:
    """A token is its end (Unix seconds) and a signature with the secret, so that nothing has to be remembered."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._client_id = client_id
        self._client_secret = client_secret

    def issue(self, client_id: str, client_secret: str, now: float) -> str:
        """Raises Problem 401 for wrong credentials."""
        right = [
            hmac.compare_digest(client_id, self._client_id),
            hmac.compare_digest(client_secret, self._client_secret),
        ]
        if not all(right):
            raise unauthorized()
        end = str(int(now) + LIFETIME_SECONDS)
        return f"{end}.{self._sign(end)}"

    def check(self, authorization: str, now: float) -> None:
        """Raises Problem 401 unless this is a bearer token of ours that has not expired."""
        scheme, _, token = authorization.partition(" ")
        end, _, signature = token.partition(".")
        if (
            scheme.lower() != "bearer"
            or not hmac.compare_digest(signature.encode(), self._sign(end).encode())
            or int(end) <= now
        ):
            raise unauthorized()

    def _sign(self, end: str) -> str:
        return hmac.new(self._client_secret.encode(), end.encode(), sha256).hexdigest()
