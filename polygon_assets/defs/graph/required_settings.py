"""Which environment variables each part of the graph cannot do without. Whether their values are any good is `doctor`'s to say."""

from collections.abc import Mapping

from polygon_assets.settings import Settings

NEEDED_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "producer": ("kafka_bootstrap_servers", "polygon_api_key"),
    "filter": ("kafka_bootstrap_servers",),
    "sink": ("kafka_bootstrap_servers", "clickhouse_host"),
    "airbyte": ("airbyte_workspace_id", "airbyte_client_id", "airbyte_client_secret"),
    "warehouse": ("snowflake_account",),
    "vendor": ("polygon_api_key",),
}


def missing_settings(settings: Settings, *parts: str) -> list[str]:
    """Environment variables without which one of the parts would end at once."""
    return [
        name.upper()
        for part in parts
        for name in NEEDED_SETTINGS[part]
        if not _value(settings, name)
    ]


def _value(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)
