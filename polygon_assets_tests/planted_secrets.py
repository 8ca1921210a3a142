"""A recognizable value for each secret of the settings, and the search for it in a text.

A new secret is planted as soon as `settings` declares it; where to look for it belongs to the
tests.
"""

import base64

from pydantic import SecretStr

from polygon_assets.settings import Settings

PLANTED = {
    name.upper(): f"planted-{name.replace('_', '-')}-5f1e"
    for name, field in Settings.model_fields.items()
    if field.annotation is SecretStr
} | {"ALERT_WEBHOOK_URL": "http://127.0.0.1:1/planted-webhook-5f1e"}
"""By variable."""


def leaks(text: str) -> list[str]:
    """The variables whose value appears in the text, also as HTTP's Basic authentication."""
    login = base64.b64encode(f"default:{PLANTED['CLICKHOUSE_PASSWORD']}".encode()).decode()
    shown = [name for name, value in PLANTED.items() if value in text]
    return [*shown, "CLICKHOUSE_PASSWORD in base64"] if login in text else shown
