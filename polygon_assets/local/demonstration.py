"""A past day of a few symbols, delivered as a producer would have recorded it, with a gap.

A market that has just begun has no finished day. This one lets a newcomer see within minutes what
becomes of every day: the gap is found in the ledger, filled by REST and verified, the day is
closed, and compared with the vendor's bars. All of that is done by the same programs, sensors and
jobs as for any other day; only the receipt was not live.

Add what the recorded day has here; `local.launcher.demonstration_day` starts it.
"""

import datetime as dt
import heapq
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from polygon_assets.clients import clickhouse, kafka
from polygon_assets.events.vendor_channels import read_frame, to_raw
from polygon_assets.inspection import ClickHouseUnreachableError, tables
from polygon_assets.local.exchange.market.columns import Columns
from polygon_assets.local.exchange.market.lateness import Rates
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.stream.tape import encoded
from polygon_assets.market_calendar import NEW_YORK, Session
from polygon_assets.market_clock import calendar_of
from polygon_assets.messages import Gap, Heartbeat, RawAggregate, encode
from polygon_assets.serving import heartbeat_history
from polygon_assets.settings import Settings, load_settings
from polygon_assets.topics import GAP_TOPIC, RAW_TOPIC

if TYPE_CHECKING:
    from confluent_kafka import Producer

SYMBOLS = ("AAPL", "MSFT", "NVDA")
"""All are in the sample of a subscription CSV: a gap of other symbols would not be filled."""
LOSS, LOSS_LENGTH = dt.time(12, 0), dt.timedelta(minutes=5)
"""In New York: nothing was received from then on for so long."""
HOLD_MS, REPETITION_MS = 2_000, 500
"""From the end of a second to its receipt, and until a repeated message came again."""
BEAT_SECONDS = 10
PORTION, PORTION_SECONDS = 5_000, 0.1
"""Live rows wait behind a portion: see `gap_filling.fill`."""
STORED_SECONDS = 300.0


def recording(
    market: Market, day: dt.date, symbols: Sequence[str] = SYMBOLS
) -> Iterator[RawAggregate]:
    """What was received, in order of receipt: first versions, repetitions and corrections."""
    received: int = 0
    for due_us, event in heapq.merge(*(_received(market, day, symbol) for symbol in symbols)):
        # Versions are told apart by their receipt, so no two messages share one.
        received = max(received + 1, due_us)
        if not _is_lost(received, day):
            (aggregate,) = read_frame(b"[" + event + b"]").aggregates
            yield to_raw(aggregate, received)


def loss(day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """The time of the day in which nothing was received."""
    since = dt.datetime.combine(day, LOSS, NEW_YORK).astimezone(dt.UTC)
    return since, since + LOSS_LENGTH


def reported_gap(day: dt.date) -> Gap:
    """What the producer's successor reported: bars before the loss had not arrived yet."""
    since, until = (_ms(moment) for moment in loss(day))
    first = since - HOLD_MS - 1_000
    channels = sorted(f"A.{symbol}" for symbol in SYMBOLS)
    return Gap(
        f"demonstration-{day}", "crash", first, until, epoch=_ms(loss(day)[0]), channels=channels
    )


def heartbeats(session: Session) -> Iterator[Heartbeat]:
    """Complete ones from the open to the close, of one producer before the loss and one after."""
    lost_since, lost_until = loss(session.day)
    for instance, since, until in (
        (1, session.extended_open, lost_since),
        (2, lost_until, session.extended_close),
    ):
        for at in range(_ms(since), _ms(until) + 1, 1000 * BEAT_SECONDS):
            yield Heartbeat(
                "producer",
                f"demonstration:{instance}",
                "streaming",
                started_at=_ms(since),
                sent_at=at,
                detail="a demonstration",
                epoch=_ms(since),
                complete_until=at,
                desired=len(SYMBOLS),
                confirmed=len(SYMBOLS),
            )


def _received(market: Market, day: dt.date, symbol: str) -> Iterator[tuple[int, bytes]]:
    """The messages of a symbol with the time (Unix microseconds) at which they were received."""
    messages = market.messages(symbol, day, Rates())
    if messages is None:
        return iter(())
    place = messages.late.nonzero()[0]
    corrections = messages.final.rows(place)
    again = messages.first.rows(messages.repeated.nonzero()[0])
    return heapq.merge(
        _due(market, messages.first, 0),
        _due(market, again, REPETITION_MS),
        iter(
            sorted(
                (due + 1_000_000 * delay, event)
                for (due, event), delay in zip(
                    _due(market, corrections, 0), messages.delay[place].tolist(), strict=True
                )
            )
        ),
    )


def _due(market: Market, rows: Columns, delay_ms: int) -> Iterator[tuple[int, bytes]]:
    events = encoded("A", rows, market.universe).events
    for start_ms, event in zip(rows.start_ms.tolist(), events, strict=True):
        yield 1000 * (start_ms + 1_000 + HOLD_MS + delay_ms), event


def _is_lost(received_us: int, day: dt.date) -> bool:
    since, until = loss(day)
    return 1000 * _ms(since) <= received_us < 1000 * _ms(until)


def _ms(moment: dt.datetime) -> int:
    return round(1000 * moment.timestamp())


def deliver(settings: Settings, market: Market, session: Session) -> int:
    """Publish the day and its gap, then the proof of its coverage; returns the messages' number.

    The proof comes last: a day whose delivery was interrupted must not count as covered. To repeat
    it is harmless, because a receipt is the same each time. Raises TimeoutError when Kafka does not
    acknowledge the messages, or ClickHouse does not store the rows in time.
    """
    producer = kafka.connect_producer(settings)
    count, seconds = 0, set()
    for count, raw in enumerate(recording(market, session.day), start=1):
        producer.produce(RAW_TOPIC, encode(raw), raw.symbol.encode())
        seconds.add((raw.symbol, raw.start_timestamp))
        if count % PORTION == 0:
            _flush(producer)
            time.sleep(PORTION_SECONDS)
    gap = reported_gap(session.day)
    producer.produce(GAP_TOPIC, encode(gap), gap.gap_id.encode())
    _flush(producer)
    _wait_until_stored(settings, session.day, len(seconds))
    with closing(clickhouse.connect(settings)) as client:
        heartbeat_history.store(client, list(heartbeats(session)))
    return count


def _flush(producer: "Producer") -> None:
    if left := producer.flush(kafka.ACKNOWLEDGE_SECONDS):
        raise TimeoutError(f"Kafka has not acknowledged {left:,} messages")


def _wait_until_stored(settings: Settings, day: dt.date, seconds: int) -> None:
    deadline = time.monotonic() + STORED_SECONDS
    while _stored(settings, day) < seconds:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the demonstration's {seconds:,} seconds of {day} are not stored")
        time.sleep(1.0)


def _stored(settings: Settings, day: dt.date) -> int:
    try:
        return sum(count for _, count in tables.seconds_by_minute(settings, day))
    except ClickHouseUnreachableError:
        return 0  # it starts again, or is busy


@click.command()
@click.option("--seed", default=7, help="As that of the exchange.")
@click.option("--tickers", default=10_000, help="As those of the exchange.")
@click.option("--activity", default=1.0, help="As that of the exchange.")
@click.option("--day", required=True, type=click.DateTime(["%Y-%m-%d"]), help="A finished day.")
def main(seed: int, tickers: int, activity: float, day: dt.datetime) -> None:
    """Deliver the demonstration of a day to the stack that the environment names."""
    settings = load_settings()
    calendar = calendar_of(settings)
    session = calendar.session(day.date())
    if session is None:
        raise click.UsageError(f"--day {day:%Y-%m-%d}: the market stayed closed")
    count = deliver(settings, Market(seed, tickers, calendar, activity), session)
    click.echo(f"{count:,} messages of {session.day} delivered")


if __name__ == "__main__":
    main()
