"""`doctor --entitlements` against the simulated exchange: plans, keys, and a running producer.

What an answer means is tested in unit/inspection/entitlements.
"""

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from polygon_assets.cli import main
from polygon_assets.inspection.entitlements import stream
from polygon_assets.inspection.entitlements.rest import ENDPOINTS
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.live_market import EXCHANGE_OPTIONS, SERVERS, SYMBOLS, Live

__all__ = ["EXCHANGE_OPTIONS", "SERVERS"]

Report = Callable[..., dict[str, str]]


@pytest.fixture
def report(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Report:
    """The doctor's lines about the plan by name, with `ok` or `MISSING` before the message."""

    def report(**changes: str) -> dict[str, str]:
        for name, value in (stack.environment() | changes).items():
            monkeypatch.setenv(name, value)
        answer = CliRunner().invoke(main, ["doctor", "--entitlements"])
        assert answer.exit_code == 1, "other servers do not run here"
        plan = [line.split(maxsplit=1) for line in answer.output.splitlines() if " plan: " in line]
        named = [(state, *line.removeprefix("plan: ").split(": ", 1)) for state, line in plan]
        return {name: f"{state} {message}" for state, name, message in named}

    return report


def test_a_plan_with_everything_is_asked_and_left_as_it_was(report: Report, live: Live) -> None:
    lines = report()
    assert {name: lines[name] for name in (endpoint.name for endpoint in ENDPOINTS)} == {
        endpoint.name: "ok included" for endpoint in ENDPOINTS
    }
    assert lines["channel A, aggregates per second"] == "ok included"
    assert lines["channel T, trades"] == "ok not in the plan: not authorized (not used here)"
    [connection] = live.connections_opened()
    assert connection["ended"]
    assert connection["channels"] == []


def test_endpoints_and_channels_outside_the_plan_are_named_with_the_consequence(
    report: Report, live: Live
) -> None:
    live.exchange.control("refuse", entitlement="/v2/aggs/ticker/AAPL/range/1/second")
    live.exchange.control("refuse", channel="A.AAPL")
    lines = report()
    missing = {name: line for name, line in lines.items() if line.startswith("MISSING")}
    assert set(missing) == {"second aggregates", "channel A, aggregates per second"}
    assert "`fill_gaps` cannot fill what the stream missed" in missing["second aggregates"]
    assert "You are not entitled to this data" in missing["second aggregates"]
    assert lines["channel AM, aggregates per minute"] == "ok included (not used here)"


def test_the_free_plan_has_rest_and_no_stream(report: Report, live: Live) -> None:
    live.exchange.control("refuse", stream=True)
    lines = report()
    assert lines["tickers"] == "ok included"
    assert "plan doesn't include websocket access" in lines["stream"]
    assert "the account's plan lacks this feed" in lines["stream"]


def test_a_vendor_that_stops_answering_is_not_asked_further(report: Report, live: Live) -> None:
    live.exchange.control("rest", status=401, path="/v1/open-close")
    lines = report()
    assert lines["daily open and close"].startswith("MISSING the key is refused")
    assert lines["further endpoints"].startswith("MISSING not asked after this answer: second")
    assert "tickers" not in lines


def test_beside_a_producer_no_connection_is_opened(report: Report, live: Live) -> None:
    program = live.start(*SYMBOLS)
    live.beat_with(program, lambda beat: beat.confirmed == len(SYMBOLS))
    lines = report()
    assert lines["stream"].startswith("ok not asked, because a second connection would end the one")
    assert "has confirmed 10 of its 10 channels A" in lines["stream"]
    assert not any(name.startswith("channel") for name in lines)
    [connection] = live.connections_opened()
    assert not connection["ended"]
    assert program.stop() == 0


def test_where_kafka_cannot_show_a_producer_no_connection_is_opened(
    live: Live, settings: Settings
) -> None:
    for servers in ("", "127.0.0.1:1"):
        blind = settings.model_copy(update={"kafka_bootstrap_servers": servers})
        [finding] = stream.ask(blind)
        assert not finding.ok
        assert "not asked" in finding.message
    assert live.connections_opened() == []
