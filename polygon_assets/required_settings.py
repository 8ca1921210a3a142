"""The environment variables without which a stream program or a part of the graph cannot work.

Add a part or a variable here; whether the values work belongs to `inspection.doctor`.
"""

from collections.abc import Mapping, Sequence

from polygon_assets.settings import Settings

KAFKA_LOGIN = ("kafka_sasl_username", "kafka_sasl_password")
"""Needed beside `kafka_bootstrap_servers` where KAFKA_SECURITY_PROTOCOL is SASL_*."""
REQUIRED_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "producer": (
        "kafka_bootstrap_servers",
        "subscriptions_bucket",
        "polygon_api_key",
        "polygon_websocket_url",
    ),
    "filter": ("kafka_bootstrap_servers", "subscriptions_bucket"),
    "sink": ("kafka_bootstrap_servers", "clickhouse_host"),
    "archiver": ("kafka_bootstrap_servers", "subscriptions_bucket"),
    "kafka": ("kafka_bootstrap_servers",),
    "gap_filler": (
        "polygon_api_key",
        "kafka_bootstrap_servers",
        "clickhouse_host",
        "subscriptions_bucket",
    ),
    "dead_letter_replay": ("kafka_bootstrap_servers", "clickhouse_host"),
    "ecs": ("ecs_cluster",),
    "connect": ("kafka_connect_url",),
    "airbyte": ("airbyte_workspace_id", "airbyte_client_id", "airbyte_client_secret"),
    "warehouse": ("snowflake_account",),
    "vendor": ("polygon_api_key",),
}


def missing_settings(settings: Settings, *parts: str) -> list[str]:
    """The environment variables that are not set and that one of the parts needs."""
    names = [name for part in parts for name in REQUIRED_SETTINGS[part]]
    if settings.kafka_uses_sasl and "kafka_bootstrap_servers" in names:
        names += KAFKA_LOGIN
    return [name.upper() for name in names if not _value(settings, name)]


def not_set(names: Sequence[str]) -> str:
    """The sentence for missing variables, with the cure."""
    return f"not set: {', '.join(names)}; `polygon-assets doctor` says how to get them"


def _value(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)
