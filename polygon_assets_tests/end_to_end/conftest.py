"""The embedded stack without the exchange, which each test starts with a replay of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets_tests.processes.harness import Programs


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Kafka, S3, ClickHouse and Snowflake."""
    with running_stack(
        tmp_path / "stack", only=("kafka", "s3", "clickhouse", "snowflake"), fixed_ports=False
    ) as running:
        yield running


@pytest.fixture
def programs(stack: Stack, tmp_path: Path) -> Iterator[Programs]:
    """Start stream programs; kill those still running at the end of the test."""
    started = Programs(stack.environment(), tmp_path)
    yield started
    started.kill_all()
