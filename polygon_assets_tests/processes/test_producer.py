"""The producer as a process: subscriptions, messages, the ends that need a person, and a stop.

Faulty connections belong to test_producer_connection.py, crashes to test_producer_crash.py.
"""

import signal
import time

import pytest

from polygon_assets.events.validation import refusal_reason
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.messages import Heartbeat, encode, unaccounted
from polygon_assets.settings import Settings
from polygon_assets.streaming.program import (
    EXIT_NOT_ENTITLED,
    EXIT_UNKNOWN_ANSWER,
    EXIT_WRONG_KEY,
)
from polygon_assets_tests.planted_secrets import PLANTED, leaks
from polygon_assets_tests.processes.harness import beat, put_in_force, raw_aggregates
from polygon_assets_tests.processes.live_market import (
    EXCHANGE_OPTIONS,
    SERVERS,
    SYMBOLS,
    Live,
    channels,
)
from polygon_assets_tests.processes.market_truth import as_sent

__all__ = ["EXCHANGE_OPTIONS", "SERVERS"]


def test_every_event_arrives_exactly_as_sent(live: Live) -> None:
    symbols = live.truth.market.universe.symbols
    program = live.start(*symbols)
    first_ms = live.sent()[0]["first_second"] * 1000
    program.until(lambda: live.newest_start() >= first_ms + 3000, "four seconds have arrived")
    program.until(
        lambda: any(
            item.decimal_volume or item.decimal_accumulated_volume for item in live.received()
        ),
        "a fraction traded",
    )
    assert program.stop() == 0
    received = live.received()
    assert len(received) == sum(part["events"] for part in live.sent())
    for item, version in zip(received, as_sent(received), strict=True):
        assert version in live.truth.versions((item.symbol, item.start_timestamp))
        assert 0 < item.received_at / 1000 - item.end_timestamp < 1_000_000
    assert live.missing(*symbols) == []
    assert live.gaps() == []


def test_a_correction_passes_through_with_a_newer_received_at(live: Live) -> None:
    program = live.start("*")
    corrected = program.until(
        lambda: {key: versions for key, versions in live.versions().items() if len(versions) == 2},
        "corrections arrive",
    )
    for key, versions in corrected.items():
        assert as_sent(versions) == list(live.truth.versions(key))
        assert versions[0].received_at < versions[1].received_at
    assert program.stop() == 0


def test_a_change_of_the_subscriptions_needs_no_new_connection(
    live: Live, settings: Settings
) -> None:
    program = live.start("AAPL", "MSFT", "TSLA")
    before = live.connection(program, ["AAPL", "MSFT", "TSLA"])
    put_in_force(settings, *channels(["MSFT", "NVDA", "TSLA"]))
    after = live.connection(program, ["MSFT", "NVDA", "TSLA"])
    changed_ms = time.time() * 1000
    assert after["id"] == before["id"]
    program.until(
        lambda: any(symbol == "NVDA" for symbol, _ in live.written()), "the added symbol arrives"
    )
    live.beat_with(
        program,
        lambda last: (
            last.sent_at > changed_ms
            and (last.desired, last.confirmed, last.unconfirmed) == (3, 3, [])
        ),
    )
    program.until(lambda: live.newest_start() > changed_ms, "seconds after the change arrive")
    assert not any(symbol == "AAPL" and start > changed_ms for symbol, start in live.written())
    assert program.stop() == 0
    assert live.missing("MSFT", "TSLA") == []
    assert live.gaps() == []


def test_a_refused_channel_is_reported_with_its_reason_while_the_others_stream(
    live: Live, settings: Settings
) -> None:
    live.exchange.control("refuse", channel="A.TSLA")
    put_in_force(settings, *channels(["AAPL", "MSFT", "TSLA"]))
    program = live.programs.start("producer")
    live.connection(program, ["AAPL", "MSFT"])
    last = live.beat_with(
        program,
        lambda last: last.unconfirmed == ["A.TSLA: refused: not authorized for this channel"],
    )
    assert (last.state, last.desired, last.confirmed) == ("streaming", 3, 2)
    assert {symbol for symbol, _ in live.written()} == {"AAPL", "MSFT"}
    assert program.stop() == 0
    assert (
        "the vendor refused a channel of the last request without naming it: not authorized"
        in program.log
    )


def test_a_refusal_of_all_channels_ends_the_producer_with_exit_11(
    live: Live, settings: Settings
) -> None:
    for channel in channels(SYMBOLS):
        live.exchange.control("refuse", channel=channel)
    put_in_force(settings, *channels(SYMBOLS))
    program = live.programs.start("producer")
    assert program.exit_code() == EXIT_NOT_ENTITLED == 11
    sentence = "the account's plan has none of the 10 requested channels; it needs real-time stocks"
    assert sentence in program.log.splitlines()[-1] + program.log.splitlines()[-2]
    assert (live.beat().state, live.beat().detail) == ("stopped", sentence)


def test_a_wrong_key_ends_the_producer_with_exit_10(live: Live, settings: Settings) -> None:
    put_in_force(settings, *channels(SYMBOLS))
    program = live.programs.start("producer", POLYGON_API_KEY="wrong")
    assert program.exit_code() == EXIT_WRONG_KEY == 10
    assert (
        "the vendor refused POLYGON_API_KEY (authentication failed); check the key" in program.log
    )


def test_a_refused_key_appears_in_no_log_heartbeat_or_command_line(
    live: Live, settings: Settings
) -> None:
    put_in_force(settings, *channels(SYMBOLS))
    program = live.programs.start("producer", **PLANTED)
    assert leaks(program.command_line()) == []
    assert program.exit_code() == EXIT_WRONG_KEY
    assert "check the key" in live.beat().detail
    assert leaks(program.log + encode(live.beat()).decode()) == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_handshake_refused_for_the_key_ends_the_producer_with_exit_10(
    live: Live, settings: Settings, status: int
) -> None:
    live.exchange.control("handshake", status=status)
    put_in_force(settings, *channels(SYMBOLS))
    program = live.programs.start("producer")
    assert program.exit_code() == EXIT_WRONG_KEY
    assert f"the vendor refused POLYGON_API_KEY (HTTP {status})" in program.log


@pytest.mark.parametrize(
    ("answer", "exit_code", "words"),
    [
        (
            '[{"ev":"status","status":"error","message":"authentication failed"}]',
            EXIT_WRONG_KEY,
            "the vendor refused POLYGON_API_KEY (authentication failed); check the key",
        ),
        (
            '[{"ev":"status","status":"error","message":"upgrade to another plan"}]',
            EXIT_NOT_ENTITLED,
            "the vendor refused the connection (upgrade to another plan): the account's plan lacks",
        ),
        (
            '[{"ev":"status","status":"error","message":"teapot"}]',
            EXIT_UNKNOWN_ANSWER,
            "the vendor gave an unknown answer to POLYGON_API_KEY (error: teapot); check the key",
        ),
        pytest.param(
            "teapot",
            EXIT_UNKNOWN_ANSWER,
            "the vendor gave an unknown answer to POLYGON_API_KEY (teapot); check the key",
            marks=pytest.mark.long,
        ),
    ],
    ids=["key", "plan", "unknown status", "no frame"],
)
def test_a_login_refused_in_any_form_ends_the_producer_with_the_vendors_words(
    live: Live, settings: Settings, answer: str, exit_code: int, words: str
) -> None:
    live.exchange.control("login", text=answer)
    put_in_force(settings, *channels(SYMBOLS))
    program = live.programs.start("producer")
    assert program.exit_code() == exit_code
    assert words in program.log
    assert (live.beat().state, words in live.beat().detail) == ("stopped", True)


CLOCK_8_SECONDS_BEHIND = """
import time
now_ns = time.time_ns
time.time_ns = lambda: now_ns() - 8_000_000_000
"""


def test_a_clock_that_is_seconds_behind_costs_no_event_and_is_measured(live: Live) -> None:
    program = live.start(*SYMBOLS, prelude=CLOCK_8_SECONDS_BEHIND)

    def find() -> Heartbeat | None:
        last = beat(live.settings, "producer")
        return (
            last
            if last
            and (last.arrival_delay_ms or 0) < -4_000
            and last.counters.get("forwarded", 0) > 30
            else None
        )

    last = program.until(find, "a heartbeat that measured the delay")
    assert last is not None
    assert (last.counters.get("refused", 0), unaccounted(last)) == (0, 0)
    assert program.stop() == 0
    since_us = int((time.time() - 600) * 1e6)
    received = raw_aggregates(live.settings, since_us)
    assert {refusal_reason(item) for item in received} == {None}


def test_without_an_accepted_set_the_producer_waits_and_logs_the_cure(live: Live) -> None:
    live.programs.start("producer", SUBSCRIPTIONS_KEY="other.csv").wait_for_log(
        "waiting: nothing is published yet: materialize s3/subscriptions"
    )


def test_the_last_good_set_stays_in_force_while_s3_is_away(stack: Stack, live: Live) -> None:
    program = live.start("AAPL", "MSFT")
    before = live.connection(program, ["AAPL", "MSFT"])
    stack.kill("s3")
    try:
        program.wait_for_log("the last good set stays")
        logged_ms = time.time() * 1000
        program.until(lambda: live.newest_start() > logged_ms, "it streams on")
        assert live.connection(program, ["AAPL", "MSFT"])["id"] == before["id"]
    finally:
        stack.restart("s3")
    put_in_force(live.settings, "A.AAPL", "A.NVDA")
    assert live.connection(program, ["AAPL", "NVDA"])["id"] == before["id"]
    assert program.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_delivers_everything_and_exits_with_0(
    live: Live, number: signal.Signals
) -> None:
    program = live.start("*")
    signalled = time.monotonic()
    assert program.stop(number) == 0
    assert time.monotonic() - signalled < float(live.settings.drain_seconds)
    assert len(live.received()) == sum(part["events"] for part in live.sent())
    assert (live.beat().state, live.beat().detail) == ("stopped", "drained")
