"""Publishes the seconds of a fill to RAW_TOPIC: evenly, and only while filter and sink keep up.

Add a rule about how fast is published here; which seconds are published belongs to `fill`.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from polygon_assets.clients import kafka, kafka_access
from polygon_assets.gap_filling import GapFillError
from polygon_assets.inspection import KafkaUnreachableError
from polygon_assets.inspection.streams import positions
from polygon_assets.messages import RawAggregate, encode
from polygon_assets.settings import Settings
from polygon_assets.topics import RAW_TOPIC, READERS

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

PORTION_SECONDS = 0.1
"""Rows are published in small portions, because live rows wait behind them: those of 100 symbols
at once made the live stream 6 s late."""
PORTIONS_PER_LOOK = 10
"""A look at the lag of filter and sink takes 50 ms of CPU, so there is one for each second."""
POLL_SECONDS = 0.5
STANDSTILL_SECONDS = 120.0
"""After an outage filter and sink work off a lag; longer than this, somebody must look."""


class Publication:
    """A connection that publishes at most GAP_FILL_ROWS_PER_SECOND."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._refusal = ""
        self._producer = kafka.connect_producer(
            settings,
            **{"delivery.report.only.error": True, "on_delivery": self._on_failure},
        )

    def publish(self, bars: Sequence[RawAggregate]) -> None:
        """Return once Kafka has acknowledged all. Raises GapFillError where it does not."""
        size = round(PORTION_SECONDS * self._settings.gap_fill_rows_per_second)
        for number, start in enumerate(range(0, len(bars), size)):
            if number % PORTIONS_PER_LOOK == 0:
                self._wait_while_others_wait()
            started = time.monotonic()
            self._publish_portion(bars[start : start + size])
            time.sleep(max(0.0, started + PORTION_SECONDS - time.monotonic()))

    def _publish_portion(self, bars: Sequence[RawAggregate]) -> None:
        from confluent_kafka import KafkaException

        self._refusal = ""
        try:
            for bar in bars:
                self._producer.produce(RAW_TOPIC, encode(bar), bar.symbol.encode())
        except KafkaException as error:
            # The client does not ask the brokers while it knows that they would refuse it.
            self._on_failure(error.args[0], None)
        left = self._producer.flush(kafka.ACKNOWLEDGE_SECONDS)
        if self._refusal:
            raise GapFillError(self._refusal)
        if left:
            raise GapFillError(
                f"Kafka did not acknowledge {left:,} messages "
                f"within {kafka.ACKNOWLEDGE_SECONDS:.0f} s"
            )

    def _on_failure(self, error: "KafkaError", _message: "Message | None") -> None:
        self._refusal = kafka_access.explain(self._settings, error, "WRITE", RAW_TOPIC)

    def _wait_while_others_wait(self) -> None:
        """Wait while more messages wait for filter and sink than are published in a second."""
        deadline = time.monotonic() + STANDSTILL_SECONDS
        while (waiting := self._waiting()) > self._settings.gap_fill_rows_per_second:
            if time.monotonic() > deadline:
                raise GapFillError(
                    f"{waiting:,} messages still wait for filter and sink after "
                    f"{STANDSTILL_SECONDS:.0f} s: see `polygon-assets status` for what holds them "
                    "up"
                )
            time.sleep(POLL_SECONDS)

    def _waiting(self) -> int:
        try:
            return sum(
                positions(self._settings, *READERS[program]).lag for program in ("filter", "sink")
            )
        except KafkaUnreachableError as error:
            raise GapFillError(f"the lag of filter and sink is unknown: {error}") from error
