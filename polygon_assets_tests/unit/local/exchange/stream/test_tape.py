"""The stream's events: independent of the reading order, corrected within 15 minutes."""

import datetime as dt
import json

import numpy as np
import pytest

from polygon_assets.local.exchange.market.lateness import LONGEST_DELAY, Rates
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.stream.tape import Tape, decimal
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets_tests import market_bars

DAY = dt.date(2026, 11, 20)
MARKET = Market(tickers=120, fraction_rate=0.5)
RATES = Rates(correction=0.1, duplicate=0.02)


def second_of(hour: int, minute: int = 0, second: int = 0) -> int:
    return int(dt.datetime.combine(DAY, dt.time(hour, minute, second), NEW_YORK).timestamp())


def messages(tape: Tape, first: int, count: int) -> list[list[bytes]]:
    return [tape.events_of(second).events for second in range(first, first + count)]


def test_a_tape_read_from_a_later_second_has_the_same_events() -> None:
    continuous, jumped = Tape(MARKET, RATES), Tape(MARKET, RATES)
    start = second_of(10, 30)
    messages(continuous, start - LONGEST_DELAY - 60, LONGEST_DELAY + 60)
    assert messages(continuous, start, 90) == messages(jumped, start, 90)


def test_jumping_back_repeats_the_same_seconds() -> None:
    tape = Tape(MARKET, RATES)
    start = second_of(11)
    first = messages(tape, start, 30)
    tape.events_of(second_of(15))
    assert messages(tape, start, 30) == first


def test_each_late_bar_is_sent_incomplete_and_later_in_its_final_version() -> None:
    tape, start, count = Tape(MARKET, Rates(correction=0.1, duplicate=0.0)), second_of(10), 120
    truth = MARKET.messages("AAPL", DAY, Rates(correction=0.1, duplicate=0.0))
    assert truth is not None
    sent: dict[int, list[tuple[int, float]]] = {}
    for second in range(start, start + count + LONGEST_DELAY + 1):
        batch = tape.events_of(second).only({"AAPL"})
        for message in map(json.loads, batch.events):
            sent.setdefault(message["s"] // 1000, []).append(
                (second, float(message.get("dv", message["v"])))
            )
    for number in np.flatnonzero(
        (truth.final.start_ms >= 1000 * start) & (truth.final.start_ms < 1000 * (start + count))
    ).tolist():
        bar = int(truth.final.start_ms[number]) // 1000
        final = (bar, truth.final.volume[number] / 1000)
        expected = [final]
        if truth.late[number]:
            expected = [
                (bar, truth.first.volume[number] / 1000),
                (bar + int(truth.delay[number]), final[1]),
            ]
        assert sent[bar] == expected


def test_first_versions_are_smaller_and_inside_the_final_range() -> None:
    truth = MARKET.messages("NVDA", DAY, RATES)
    assert truth is not None
    assert truth.late.mean() == pytest.approx(0.1, abs=0.01)
    assert (truth.first.volume[truth.late] < truth.final.volume[truth.late]).all()
    assert (truth.first.volume > 0).all()
    assert (truth.first.high <= truth.final.high).all()
    assert (truth.first.low >= truth.final.low).all()
    assert (truth.first.high >= np.maximum(truth.first.open, truth.first.close)).all()
    assert truth.delay.min() >= 3
    assert 600 < truth.delay[truth.late].max() <= LONGEST_DELAY


def test_repeated_messages_are_identical() -> None:
    tape = Tape(MARKET, Rates(correction=0.0, duplicate=0.05))
    events = [event for second in messages(tape, second_of(12), 60) for event in second]
    repeated = len(events) - len(set(events))
    assert repeated / len(events) == pytest.approx(0.05, abs=0.02)


def test_the_official_open_is_missing_before_the_regular_session_and_constant_after() -> None:
    tape = Tape(MARKET, RATES)
    before = [
        json.loads(event) for second in messages(tape, second_of(9, 28), 120) for event in second
    ]
    after = [
        json.loads(event) for second in messages(tape, second_of(9, 30), 120) for event in second
    ]
    assert before
    assert not any("op" in message for message in before)
    fresh = [message for message in after if message["s"] >= 1000 * second_of(9, 30)]
    opens = {message["op"] for message in fresh if message["sym"] == "AAPL"}
    first = next(message for message in fresh if message["sym"] == "AAPL")
    assert opens == {first["o"]}


def test_the_last_accumulated_volume_is_the_days_volume() -> None:
    truth = MARKET.messages("TSLA", DAY, RATES)
    assert truth is not None
    row = market_bars.daily(MARKET, "TSLA", DAY)[0]
    assert truth.final.accumulated_volume[-1] / 1000 == row["volume"]
    assert truth.final.day_vwap[-1] == row["vwap"]


def test_corrections_continue_after_the_session() -> None:
    tape = Tape(MARKET, Rates(correction=0.5, duplicate=0.0))
    messages(tape, second_of(19, 59), 60)
    late = [event for second in messages(tape, second_of(20), LONGEST_DELAY) for event in second]
    assert late
    assert all(json.loads(event)["s"] < 1000 * second_of(20) for event in late)
    jumped = Tape(MARKET, Rates(correction=0.5, duplicate=0.0))
    assert [
        event for second in messages(jumped, second_of(20), LONGEST_DELAY) for event in second
    ] == late


def test_minute_bars_are_sent_with_the_last_second_of_the_minute() -> None:
    tape = Tape(MARKET, RATES)
    start = second_of(10)
    counts = [len(tape.minute_bars(second).events) for second in range(start, start + 60)]
    assert counts[:59] == [0] * 59
    assert counts[59] > 50


@pytest.mark.parametrize(
    ("volume", "text"), [(5_000, None), (5_100, "5.1"), (5_001, "5.001"), (123_450, "123.45")]
)
def test_decimals_are_written_without_trailing_zeros(volume: int, text: str | None) -> None:
    assert decimal(volume) == text
