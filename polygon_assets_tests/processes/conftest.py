"""A stack and programs for a test module: servers on free ports, data in a temporary folder.

Add a fixture here when several modules need it; helpers without a lifetime belong to the harnesses.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from polygon_assets.clients import snowflake
from polygon_assets.gap_filling.fill import GapFiller
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.harness import Exchange, Programs
from polygon_assets_tests.processes.live_market import Live, live_truth
from polygon_assets_tests.processes.market_truth import Truth
from polygon_assets_tests.processes.warehouse_harness import create

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    """The module's SERVERS (default: all), the exchange with the module's EXCHANGE_OPTIONS."""
    servers = getattr(request.module, "SERVERS", ())
    options = getattr(request.module, "EXCHANGE_OPTIONS", ())
    with running_stack(
        tmp_path_factory.mktemp("stack"), only=servers, exchange_options=options, fixed_ports=False
    ) as running:
        yield running


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    """The settings of the stack."""
    return stack.settings()


@pytest.fixture(scope="module")
def warehouse_session(settings: Settings) -> Iterator["SnowflakeConnection"]:
    """A session with the stack's Snowflake, in which all tables exist."""
    with snowflake.connect(settings, 30) as session:
        create(session)
        yield session


@pytest.fixture
def ask(settings: Settings) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Run a query in Snowflake and return its rows."""

    def ask(sql: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    with closing(snowflake.connect(settings)) as connection:
        yield ask


@pytest.fixture
def programs(stack: Stack, tmp_path: Path) -> Iterator[Programs]:
    """Start stream programs; kill those still running at the end of the test."""
    started = Programs(stack.environment(), tmp_path)
    yield started
    started.kill_all()


@pytest.fixture(scope="session")
def truth() -> Truth:
    """The truth of the exchange in live_market."""
    return live_truth()


@pytest.fixture
def live(stack: Stack, settings: Settings, programs: Programs, truth: Truth) -> Iterator[Live]:
    """The live market without faults, for modules with live_market's SERVERS and options."""
    exchange = Exchange(stack.ports["exchange"])
    exchange.clear()
    yield Live(settings, exchange, programs, truth)
    exchange.clear()


@pytest.fixture
def filler(settings: Settings) -> Iterator[GapFiller]:
    """A filler whose log is thrown away."""
    with closing(GapFiller(settings, lambda _line: None)) as one:
        yield one
