"""Alerts to people outside Dagster.

Add another channel of alerts here; which events are alerts is decided in `sensors`.
"""

import json
import urllib.error
import urllib.request

from polygon_assets.errors import PolygonAssetsError

TIMEOUT_SECONDS = 10


class AlertError(PolygonAssetsError):
    """The alert was not delivered; the message names the cause, never the address, a secret."""


def post_alert(webhook_url: str, text: str) -> None:
    """POST {"text": ...}, the form that Slack and others accept; without an address, do nothing.

    Raises AlertError.
    """
    if not webhook_url:
        return
    try:
        request = urllib.request.Request(
            webhook_url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
        raise AlertError(f"the webhook answered HTTP {error.code}") from None
    except OSError as error:
        raise AlertError(f"the webhook cannot be reached: {error}") from None
    except ValueError:
        raise AlertError("ALERT_WEBHOOK_URL is not an address") from None
