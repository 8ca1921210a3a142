"""The environment of the embedded stack: this machine's, without what would lead it to somebody's production.

A shell that is set up for production holds keys, profiles and proxies. None of them may reach the
stack's processes, whose own variables are in `servers`.
"""

import os
import re
from collections.abc import Mapping

from polygon_assets.settings import Settings

TUNING: Mapping[str, str] = {
    "daily_history_days": "how much history to load is a wish about this machine",
    "no_data_seconds": "patience with a quiet market",
    "max_connections_cooldown_seconds": "patience with an evicted connection",
    "sink_max_rows": "speed of the sink",
    "sink_max_age_seconds": "speed of the sink",
    "drain_seconds": "patience at the end",
    "split_decisions": "decisions about splits lead nowhere",
    "market_closures": "closures lead nowhere",
}
"""Settings that a person may set for the embedded stack too, each with the reason why it does no harm."""
_FOREIGN = re.compile(
    r"(AWS|BOTO|SNOWFLAKE|KAFKA|CLICKHOUSE|POLYGON|MASSIVE|AIRBYTE|DAGSTER)_.*|(HTTPS?|FTP|ALL|NO)_PROXY",
    re.IGNORECASE,
)
_NO_AWS_FILES = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""The SDK reads a default profile from these files even where no variable names one."""


def is_foreign(name: str) -> bool:
    """Whether a variable may lead away from the embedded stack: a setting, or one that an SDK or a client reads."""
    if name.lower() in TUNING:
        return False
    return name.lower() in Settings.model_fields or _FOREIGN.fullmatch(name) is not None


def cleaned(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for the stack's own processes."""
    return {
        name: value for name, value in environment.items() if not is_foreign(name)
    } | _NO_AWS_FILES


def clean_this_process() -> None:
    """Let this process see what the stack's processes see: it creates topics, tables and connections in them."""
    for name in [name for name in os.environ if is_foreign(name)]:
        del os.environ[name]
    os.environ.update(_NO_AWS_FILES)


def shell_lines(
    variables: Mapping[str, str], environment: Mapping[str, str]
) -> list[tuple[str, str | None]]:
    """What a shell with this environment has to set, and to unset (None), so that its commands reach the stack and nothing else."""
    unset = sorted(name for name in environment if is_foreign(name) and name not in variables)
    return [*((name, None) for name in unset), *variables.items(), *_NO_AWS_FILES.items()]
