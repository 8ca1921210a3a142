"""Preparation of the test process: signals, skips and leaked sockets.

Fixtures belong to each folder.
"""

import os
import signal
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from polygon_assets.local.launcher import stack
from polygon_assets.local.launcher.servers import APACHE, EMBEDDED

OTHER_BROKER = "another broker proves it: pytest --kafka apache needs Java and Maven"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kafka",
        choices=(EMBEDDED, APACHE),
        default=EMBEDDED,
        help="The broker of the stacks that tests start; apache needs Java and Maven.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the broker, and restore the default SIGINT.

    A process that a script starts in the background inherits an ignored SIGINT, and Dagster then
    ignores SIGTERM too; every process started by the tests would ignore both.
    """
    stack.DEFAULT_KAFKA = config.getoption("--kafka")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests of another broker, and begin with those that start processes.

    They take longest: one that began last would keep one processor busy while the others wait.
    """
    items.sort(key=lambda item: "/processes/" not in item.nodeid)
    other = "apache_kafka" if config.getoption("--kafka") == EMBEDDED else "embedded_kafka"
    for item in items:
        if item.get_closest_marker(other):
            item.add_marker(pytest.mark.skip(reason=f"{OTHER_BROKER} ({other})"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With NO_SKIPS, as in CI, a tool that is not installed fails the test that needs it."""
    report = yield
    if report.skipped and os.environ.get("NO_SKIPS") and OTHER_BROKER not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def closed_kafka_sockets() -> Iterator[None]:
    """Close three kinds of sockets that kafka-python 3.0.12 leaves to the garbage collector.

    These are the sockets of a failed connection attempt, those of a failed TLS handshake, and those
    closed while a request is still waiting to be sent. The collector's warning would fail whichever
    test runs then.
    """
    from kafka.net.inet import KafkaNetSocket
    from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

    close_transport, shake_hands = KafkaTCPTransport.close, KafkaSSLTransport.handshake

    async def connect(
        self: Any, net: Any, address: Any, socket_options: Any = (), timeout_at: float | None = None
    ) -> Any:
        family, kind, protocol, _, endpoint = address
        connecting = self.socket(family, kind, protocol)
        try:
            connecting.setblocking(False)
            for option in socket_options:
                connecting.setsockopt(*option)
            return await self.sock_connect(net, connecting, endpoint, timeout_at=timeout_at)
        except BaseException:
            connecting.close()
            raise

    def close(self: Any) -> None:
        close_transport(self)
        if self._write_buffer:
            self._write_buffer.clear()
            self._close()

    async def handshake(self: Any) -> None:
        try:
            await shake_hands(self)
        except BaseException:
            self._sock.close()
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaNetSocket, "connect", connect)
        patch.setattr(KafkaTCPTransport, "close", close)
        patch.setattr(KafkaSSLTransport, "handshake", handshake)
        yield
