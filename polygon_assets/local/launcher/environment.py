"""The embedded stack's environment: this machine's, without variables that lead to production.

A shell set up for production holds keys, profiles and proxies, and none of them may reach the
stack's processes. Add a variable to drop or to keep here; the variables that the stack sets belong
to `servers`.
"""

import os
import re
from collections.abc import Mapping

from polygon_assets.settings import Settings

TUNING: Mapping[str, str] = {
    "daily_history_days": "only sets how much history this machine loads",
    "no_data_seconds": "only sets how long a quiet market is accepted",
    "max_connections_cooldown_seconds": "only sets how long an evicted connection waits",
    "sink_max_rows": "only sets the sink's batch size",
    "sink_max_age_seconds": "only sets the sink's batch age",
    "archive_max_seconds": "only sets how long the archiver collects",
    "archive_max_bytes": "only sets how much the archiver collects",
    "kafka_partitions": "only sets how many partitions the broker's topics get",
    "stock_versions_days": "only sets how long versions are kept",
    "drain_seconds": "only sets how long a stopping program may drain",
    "metrics_port": "only opens ports on this machine",
    "metrics_host": "only chooses who may read the metrics",
    "split_decisions": "names splits, no outside system",
    "market_closures": "names days, no outside system",
} | {
    name: "only sets when an alert fires"
    for name in Settings.model_fields
    if name.startswith("alert_") and name != "alert_webhook_url"
}
"""Settings that a person may set for the embedded stack too, each with why it is harmless."""
_FOREIGN = re.compile(
    r"(AWS|BOTO|SNOWFLAKE|KAFKA|CLICKHOUSE|POLYGON|MASSIVE|AIRBYTE|DAGSTER)_.*"
    r"|.*_PROXY",
    re.IGNORECASE,
)
_NO_AWS_FILES = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Without these, the AWS SDK reads a default profile from files that no variable names."""


def is_foreign(name: str) -> bool:
    """Whether a variable may lead to production: a setting or a client's variable."""
    if name.lower() in TUNING:
        return False
    return name.lower() in Settings.model_fields or _FOREIGN.fullmatch(name) is not None


def cleaned(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for the stack's processes: `environment` without foreign variables."""
    return {
        name: value for name, value in environment.items() if not is_foreign(name)
    } | _NO_AWS_FILES


def clean_this_process() -> None:
    """Clean this process's environment too: it creates topics, tables and connections."""
    for name in [name for name in os.environ if is_foreign(name)]:
        del os.environ[name]
    os.environ.update(_NO_AWS_FILES)


def shell_lines(
    variables: Mapping[str, str], environment: Mapping[str, str]
) -> list[tuple[str, str | None]]:
    """Variables a shell must set, or unset (None), so that its commands reach only the stack."""
    unset = sorted(name for name in environment if is_foreign(name) and name not in variables)
    return [*((name, None) for name in unset), *variables.items(), *_NO_AWS_FILES.items()]
