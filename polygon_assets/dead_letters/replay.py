"""Replays letters: reads their bytes, publishes what they hold, and records each attempt.

Add a step of a replay here; what a letter publishes belongs to `publications`, which letters are
replayed to the callers. A replay may be cut off and repeated at any moment: an attempt is recorded
after the broker has acknowledged it, and publishing again changes nothing.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from polygon_assets.clients import clickhouse, kafka
from polygon_assets.dead_letters.joined_parts import IncompleteLetterError, joined
from polygon_assets.dead_letters.publications import Publications, publications
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.serving import dead_letters
from polygon_assets.serving.dead_letters import Letter, Part, Replay, Selection
from polygon_assets.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from confluent_kafka import KafkaError, Message, Producer

CHUNK_LETTERS, CHUNK_BYTES = 1_000, 16 * 1024 * 1024
"""Letters that are read, published and recorded together: a query for few letters costs as much as
one for many, because ids have no order in time, and memory must stay small."""
LONGEST_ERROR = 1_000


class ReplayError(PolygonAssetsError):
    """The replay cannot go on; the letters that were not published can be replayed again."""


@dataclass
class _Attempt:
    """One letter with its messages, and the errors of their delivery."""

    letter: Letter
    publications: Publications
    errors: list[str] = field(default_factory=list)
    acknowledged: int = 0

    def on_delivery(self, error: "KafkaError | None", _message: "Message") -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.errors.append(f"Kafka: {error}")

    def outcome(self, replayed_by: str, now: dt.datetime) -> Replay:
        problems = [*filter(None, [self.publications.problem]), *dict.fromkeys(self.errors)]
        if missing := len(self.publications.messages) - self.acknowledged - len(self.errors):
            problems.append(f"Kafka did not acknowledge {missing} message(s)")
        return Replay(
            self.letter.letter_id,
            now,
            replayed_by,
            self.publications.topic if self.acknowledged else "",
            self.acknowledged,
            "failed" if problems else "published",
            "; ".join(problems)[:LONGEST_ERROR],
        )


class Replayer:
    """Replays letters with the connections of one run; close it at the end."""

    def __init__(self, settings: Settings, replayed_by: str) -> None:
        """`replayed_by` names the run or person in the records."""
        self._replayed_by = replayed_by
        self._clickhouse: Client = clickhouse.connect(settings)
        self._producer: Producer = kafka.connect_producer(settings)

    def close(self) -> None:
        self._clickhouse.close()

    def select(self, selection: Selection, limit: int, *, again: bool = False) -> list[Letter]:
        """The oldest letters of a selection; those already replayed only if `again`."""
        if not again:
            selection = replace(selection, is_replayed=False)
        return dead_letters.letters(self._clickhouse, selection, limit, oldest_first=True)

    def replay(
        self, letters: Sequence[Letter], log: Callable[[str], None] = lambda _line: None
    ) -> Iterator[Replay]:
        """Replay letters and yield each attempt once it is recorded.

        Raises ReplayError when Kafka acknowledges nothing any more, and clickhouse_connect's
        errors.
        """
        done = 0
        for chunk in chunks(letters):
            parts = dead_letters.parts(self._clickhouse, [letter.letter_id for letter in chunk])
            attempts = [read_again(letter, parts[letter.letter_id]) for letter in chunk]
            unacknowledged = self._publish(attempts)
            now = dt.datetime.now(dt.UTC)
            outcomes = [attempt.outcome(self._replayed_by, now) for attempt in attempts]
            dead_letters.store_replays(self._clickhouse, outcomes)
            yield from outcomes
            done += len(chunk)
            log(f"{done:,} of {len(letters):,} letters")
            if unacknowledged:
                raise ReplayError(
                    f"Kafka did not acknowledge {unacknowledged:,} messages within "
                    f"{kafka.ACKNOWLEDGE_SECONDS:.0f} s; see `polygon-assets status`, then replay "
                    "again"
                )

    def _publish(self, attempts: Sequence[_Attempt]) -> int:
        """Publish the messages of letters; returns how many were not acknowledged."""
        from confluent_kafka import KafkaException

        for attempt in attempts:
            for key, value in attempt.publications.messages:
                try:
                    self._produce(attempt, key, value)
                except KafkaException as error:
                    attempt.errors.append(f"Kafka: {error}")
        return self._producer.flush(kafka.ACKNOWLEDGE_SECONDS)

    def _produce(self, attempt: _Attempt, key: bytes, value: bytes) -> None:
        while True:
            try:
                topic = attempt.publications.topic
                self._producer.produce(topic, value, key, on_delivery=attempt.on_delivery)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return


def chunks(letters: Sequence[Letter]) -> Iterator[list[Letter]]:
    """All letters in their order, in pieces of limited number and size."""
    chunk: list[Letter] = []
    size = 0
    for letter in letters:
        if chunk and (len(chunk) >= CHUNK_LETTERS or size + letter.bytes > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(letter)
        size += letter.bytes
    if chunk:
        yield chunk


def read_again(letter: Letter, parts: Sequence[Part]) -> _Attempt:
    """A letter with what its bytes publish now; an incomplete one publishes nothing."""
    try:
        raw = joined(parts)
    except IncompleteLetterError as error:
        return _Attempt(letter, Publications("", problem=str(error)))
    refused_us = round(letter.refused_at.timestamp() * 1_000_000)
    return _Attempt(letter, publications(letter.stage, raw, refused_us))


def summary(outcomes: Sequence[Replay]) -> str:
    """`2 letter(s) published (5 messages), 1 failed`."""
    published = [outcome for outcome in outcomes if outcome.outcome == "published"]
    return (
        f"{len(published):,} letter(s) published "
        f"({sum(outcome.messages for outcome in outcomes):,} messages), "
        f"{len(outcomes) - len(published):,} failed"
    )
