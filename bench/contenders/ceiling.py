"""The limits that no build can beat: one indispensable part of each program, measured alone.

The data is ready in memory or in the topic; no rule is applied and nothing is committed.
"""

from itertools import islice

import msgspec

from bench import data
from bench.measure import Meter
from bench.work import Work
from polygon_assets.clients import clickhouse, kafka
from polygon_assets.events.vendor_channels import VendorAggregate
from polygon_assets.settings import Settings
from polygon_assets.streaming.clickhouse_writer import TABLE
from polygon_assets.streaming.rows import to_table
from polygon_assets.topics import FILTER_GROUP, RAW_TOPIC

CONSUME_MESSAGES = 5_000


def decode(_settings: Settings, meter: Meter, work: Work) -> None:
    """msgspec decodes the frames."""
    frames = data.frames(work.folder, work.events)
    decoder = msgspec.json.Decoder(list[VendorAggregate])
    meter.start()
    events = sum(len(decoder.decode(frame)) for frame in frames)
    meter.stop(events)


def produce(settings: Settings, meter: Meter, work: Work) -> None:
    """librdkafka sends encoded messages; the clock stops when all are acknowledged."""
    messages = data.messages(work.folder, "raw", work.events)
    producer = kafka.connect_producer(settings)
    meter.start()
    for key, value in messages:
        producer.produce(RAW_TOPIC, value, key)
    producer.flush()
    meter.stop(len(messages))


def consume(settings: Settings, meter: Meter, work: Work) -> None:
    """librdkafka reads messages."""
    consumer = kafka.connect_consumer(settings, FILTER_GROUP)
    consumer.subscribe([RAW_TOPIC])
    done = 0
    while not consumer.assignment():
        meter.start()
        done += consumer.poll(0.01) is not None
    while done < work.events:
        done += len(consumer.consume(CONSUME_MESSAGES, 0.1))
    meter.stop(done)
    consumer.close()


def insert(settings: Settings, meter: Meter, work: Work) -> None:
    """ClickHouse inserts ready Arrow tables, as large as the sink's."""
    values = iter([value for _, value in data.messages(work.folder, "filtered", work.events)])
    tables = []
    while chunk := list(islice(values, settings.sink_max_rows)):
        tables.append(to_table(chunk))
    client = clickhouse.connect(settings)
    meter.start()
    for table in tables:
        client.insert_arrow(TABLE, table)
    meter.stop(sum(table.num_rows for table in tables))
