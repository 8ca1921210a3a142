"""The obvious build: the vendor's client and models, json, kafka-python, row inserts, all defaults.

Fields, rules and delivery guarantees (acknowledged by all replicas, committed after the output)
are the same as ours.
"""

import asyncio
import datetime as dt
import json
import time
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec
from kafka import KafkaConsumer, KafkaProducer
from polygon import WebSocketClient

from bench.measure import Meter
from bench.work import Work
from polygon_assets.clients import clickhouse
from polygon_assets.events.validation import refusal_reason, to_row
from polygon_assets.messages import RawAggregate
from polygon_assets.settings import Settings
from polygon_assets.streaming.clickhouse_writer import TABLE
from polygon_assets.streaming.rows import SCHEMA
from polygon_assets.topics import FILTER_GROUP, FILTERED_TOPIC, RAW_TOPIC, SINK_GROUP

ROWS_PER_INSERT = 1_000


def producer(settings: Settings, meter: Meter, work: Work) -> None:
    """WebSocketClient with models, json.dumps per event, flush per frame."""
    asyncio.run(_produce(settings, meter, work))


def filter_(settings: Settings, meter: Meter, work: Work) -> None:
    """json.loads, our rules, json.dumps; flush and commit per poll."""
    output = _connect_producer(settings)
    consumer = _connect_consumer(settings, meter, FILTER_GROUP, RAW_TOPIC)
    done = 0
    while done < work.events:
        for record in _poll(consumer):
            event = RawAggregate(**json.loads(record.value))
            if refusal_reason(event) is None:
                output.send(
                    FILTERED_TOPIC, key=event.symbol, value=msgspec.structs.asdict(to_row(event))
                )
            done += 1
        output.flush()
        consumer.commit()
    meter.stop(done)


def sink(settings: Settings, meter: Meter, work: Work) -> None:
    """json.loads, one tuple per row, an insert and a commit per thousand rows."""
    client = clickhouse.connect(settings)
    consumer = _connect_consumer(settings, meter, SINK_GROUP, FILTERED_TOPIC)
    rows: list[tuple[Any, ...]] = []
    done = 0
    while done < work.events:
        rows.extend(_row(json.loads(record.value)) for record in _poll(consumer))
        if len(rows) >= min(ROWS_PER_INSERT, work.events - done):
            client.insert(TABLE, rows, column_names=SCHEMA.names)
            consumer.commit()
            done += len(rows)
            rows = []
    meter.stop(done)


async def _produce(settings: Settings, meter: Meter, work: Work) -> None:
    output = _connect_producer(settings)
    address = urlsplit(settings.polygon_websocket_url).netloc
    client = WebSocketClient(
        settings.polygon_api_key.get_secret_value(),
        feed=address,
        secure=False,
        subscriptions=["A.*"],
    )
    done = 0

    async def handle(aggregates: list[Any]) -> None:
        nonlocal done
        if not done:
            meter.start()
        for aggregate in aggregates:
            output.send(RAW_TOPIC, key=aggregate.symbol, value=_renamed(aggregate))
        output.flush()
        done += len(aggregates)
        if done >= work.events:
            meter.stop(done)
            await client.close()

    meter.ready()
    await client.connect(handle)


def _renamed(aggregate: Any) -> dict[str, Any]:
    return {
        "event_type": aggregate.event_type,
        "symbol": aggregate.symbol,
        "volume": aggregate.volume,
        "accumulated_volume": aggregate.accumulated_volume,
        "official_open_price": aggregate.official_open_price,
        "vwap": aggregate.vwap,
        "open_price": aggregate.open,
        "close_price": aggregate.close,
        "high": aggregate.high,
        "low": aggregate.low,
        "aggregate_vwap": aggregate.aggregate_vwap,
        "average_size": aggregate.average_size,
        "start_timestamp": aggregate.start_timestamp,
        "end_timestamp": aggregate.end_timestamp,
        "otc": bool(aggregate.otc),
        "received_at": time.time_ns() // 1000,
        "source": "websocket",
    }


def _row(message: dict[str, Any]) -> tuple[Any, ...]:
    values = message | {
        "start_timestamp": _moment(message["start_timestamp"] * 1000),
        "end_timestamp": _moment(message["end_timestamp"] * 1000),
        "received_at": _moment(message["received_at"]),
        "volume": Decimal(message["volume"]),
        "accumulated_volume": Decimal(message["accumulated_volume"]),
    }
    return tuple(values[name] for name in SCHEMA.names)


def _moment(microseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(microseconds / 1e6, dt.UTC)


def _connect_producer(settings: Settings) -> KafkaProducer:
    return KafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        key_serializer=str.encode,
        value_serializer=lambda value: json.dumps(value).encode(),
    )


def _connect_consumer(settings: Settings, meter: Meter, group: str, topic: str) -> KafkaConsumer:
    """A consumer that has its partitions and reads them from the beginning."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    while not consumer.assignment():
        consumer.poll(100)
    consumer.seek_to_beginning()
    meter.start()
    meter.ready()
    return consumer


def _poll(consumer: KafkaConsumer) -> list[Any]:
    return [record for batch in consumer.poll(100).values() for record in batch]
