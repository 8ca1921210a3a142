"""Access tokens of the one application: issued for its id and secret, valid across restarts.

Add token rules here; which endpoint needs a token belongs to `http`.
"""

import hmac
from hashlib import sha256

from polygon_assets.local.airbyte.api.problems import unauthorized

LIFETIME_SECONDS = 180
"""As in Airbyte Cloud."""


class Tokens:
    """Issues and checks tokens: an end (Unix seconds) signed with the secret, so none is stored."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._client_id = client_id
        self._client_secret = client_secret

    def issue(self, client_id: str, client_secret: str, now: float) -> str:
        """A new token. Raises Problem 401 for wrong credentials."""
        matches = [
            hmac.compare_digest(client_id, self._client_id),
            hmac.compare_digest(client_secret, self._client_secret),
        ]
        if not all(matches):
            raise unauthorized()
        end = str(int(now) + LIFETIME_SECONDS)
        return f"{end}.{self._sign(end)}"

    def check(self, authorization: str, now: float) -> None:
        """Raise Problem 401 unless this is a valid bearer token of this server."""
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
