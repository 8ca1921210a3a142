"""Price changes over 10 s and the last prices, against the same rules in plain Python."""

import datetime as dt
import math
import random

import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.serving.queries import load
from polygon_assets_tests.unit.serving.seconds import (
    OPENING_MS,
    Second,
    insert_in_disorder,
    newest,
    random_seconds,
)

SYMBOLS = ("AAPL", "MSFT", "TSLA")


def moment(unix_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC)


def price_10s_ago(
    seconds: dict[tuple[str, int], Second], symbol: str, start_ms: int
) -> float | None:
    """The plain rule: the last close at or before 10 s earlier, unless it is older than 60 s."""
    past = [
        start
        for name, start in seconds
        if name == symbol and start_ms - 60_000 <= start <= start_ms - 10_000
    ]
    return seconds[symbol, max(past)].close if past else None


@pytest.mark.parametrize("window_seconds", [7200, 300])
def test_each_delta_matches_the_plain_rule_with_gaps_late_rows_corrections_and_replays(
    client: Client, window_seconds: int
) -> None:
    rng = random.Random(5)
    seconds = random_seconds(rng, SYMBOLS, OPENING_MS, 300)
    insert_in_disorder(client, rng, seconds, repeats=3)
    winners = newest(seconds)
    first, last = OPENING_MS + 400_000, OPENING_MS + 400_000 + window_seconds * 1000
    for symbol in SYMBOLS:
        rows = client.query(
            load("delta_10s"),
            parameters={"symbol": symbol, "from": moment(first), "to": moment(last)},
            tz_mode="aware",
        ).named_results()
        answers = {int(row["start_timestamp"].timestamp() * 1000): row for row in rows}
        assert sorted(answers) == sorted(
            start for name, start in winners if name == symbol and first <= start < last
        )
        for start, row in answers.items():
            past = price_10s_ago(winners, symbol, start)
            close = winners[symbol, start].close
            assert (row["close"], row["price_10s_ago"]) == (close, past)
            assert row["delta_price_10s"] == (None if past is None else close - past)
            assert past is None or math.isclose(
                row["percentage_change_10s"], 100 * (close - past) / past
            )


def test_top_movers_match_the_plain_rule(client: Client) -> None:
    """The seconds are recent, because the hot table keeps only the last 6 hours."""
    rng = random.Random(6)
    now_ms = int(dt.datetime.now(dt.UTC).timestamp()) * 1000
    symbols = [f"SYM{number}" for number in range(30)]
    seconds = [
        second
        for second in random_seconds(rng, symbols, now_ms - 300_000, 80)
        if second.start_ms <= now_ms
    ]
    insert_in_disorder(client, rng, seconds)
    winners = newest(seconds)
    changes = {}
    for symbol in symbols:
        recent = [
            start for name, start in winners if name == symbol and now_ms - 70_000 < start <= now_ms
        ]
        past = [start for start in recent if start <= now_ms - 10_000]
        if past:
            before, last = winners[symbol, max(past)].close, winners[symbol, max(recent)].close
            changes[symbol] = 100 * (last - before) / before
    expected = sorted(changes.items(), key=lambda item: (-abs(item[1]), item[0]))[:5]
    rows = list(
        client.query(
            load("top_movers"), parameters={"now": moment(now_ms), "limit": 5}
        ).named_results()
    )
    assert [row["symbol"] for row in rows] == [symbol for symbol, _ in expected]
    assert [row["percentage_change_10s"] for row in rows] == pytest.approx(
        [change for _, change in expected]
    )


def test_the_last_price_survives_late_rows_and_replays(client: Client) -> None:
    rng = random.Random(7)
    seconds = random_seconds(rng, SYMBOLS, OPENING_MS, 100)
    insert_in_disorder(client, rng, seconds)
    winners = newest(seconds)
    expected = {
        symbol: winners[max(key for key in winners if key[0] == symbol)] for symbol in SYMBOLS
    }
    rows = list(
        client.query(
            load("last_prices"), parameters={"symbols": []}, tz_mode="aware"
        ).named_results()
    )
    assert {
        row["symbol"]: (row["last_timestamp"], row["close"], row["volume"]) for row in rows
    } == {
        symbol: (moment(second.start_ms), second.close, second.volume)
        for symbol, second in expected.items()
    }
    tsla = client.query(load("last_prices"), parameters={"symbols": ["TSLA"]})
    assert [row["symbol"] for row in tsla.named_results()] == ["TSLA"]
