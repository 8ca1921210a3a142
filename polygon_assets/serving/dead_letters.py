"""The tables of dead letters: `market.dead_letters` and `market.dead_letter_replays`.

Add a column or a filter here. The sink fills the first table from Kafka
(`streaming.dead_letter_loader`); what a replay publishes belongs to `dead_letters`.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from polygon_assets.messages import PROGRAMS, STAGES
from polygon_assets.serving.queries import load

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

INGEST_TABLE = "market.dead_letters_ingest"
REPLAYS_TABLE = "market.dead_letter_replays"
UNKNOWN = "unknown"
"""Program and stage of a message in the topic that is no dead letter."""
PROGRAM_NAMES = (*PROGRAMS, UNKNOWN)
LETTER_STAGES = (*STAGES, UNKNOWN)
FIRST_MOMENT = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LAST_MOMENT = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)

Outcome = Literal["published", "failed"]


@dataclass(frozen=True)
class Selection:
    """Which dead letters: those that match every given field."""

    ids: tuple[str, ...] = ()
    program: str = ""
    stage: str = ""
    reason: str = ""
    """A part of the reason, in any case."""
    since: dt.datetime | None = None
    """The earliest refusal, included."""
    until: dt.datetime | None = None
    """The latest refusal, excluded."""
    is_replayed: bool | None = None
    """Whether a replay was published; None for both."""

    @property
    def is_narrowed(self) -> bool:
        """Whether an id or a filter narrows the choice.

        `is_replayed` does not count: alone it selects nearly every letter.
        """
        return any((self.ids, self.program, self.stage, self.reason, self.since, self.until))

    def parameters(self) -> dict[str, object]:
        """The parameters of the queries, without limit and order."""
        return {
            "ids": list(self.ids),
            "program": self.program,
            "stage": self.stage,
            "reason": self.reason,
            "since": max(self.since or FIRST_MOMENT, FIRST_MOMENT),
            "until": min(self.until or LAST_MOMENT, LAST_MOMENT),
            "replayed": {None: "any", True: "yes", False: "no"}[self.is_replayed],
        }


@dataclass(frozen=True)
class Letter:
    """One dead letter without its bytes. Moments are wall time in UTC."""

    letter_id: str
    program: str
    stage: str
    reason: str
    refused_at: dt.datetime
    topic: str
    partition: int | None
    offset: int | None
    epoch: dt.datetime | None
    parts: int
    """How many rows its bytes fill; 0 for a letter that was never divided."""
    sha256: str
    bytes: int
    """Stored bytes of all parts."""
    replayed_at: dt.datetime | None
    """The newest published replay."""


@dataclass(frozen=True)
class Part:
    """The bytes of a letter, or one of its parts."""

    letter_id: str
    part: int
    parts: int
    sha256: str
    raw: bytes


@dataclass(frozen=True)
class ReasonCount:
    """How many letters were refused for one reason."""

    program: str
    stage: str
    kind: str
    """The reason without the values that it quotes."""
    letters: int
    replayed: int
    newest: dt.datetime
    sample_id: str
    """The newest letter."""
    sample: str
    """Its whole reason."""


@dataclass(frozen=True)
class Replay:
    """One attempt to replay a letter."""

    letter_id: str
    replayed_at: dt.datetime
    replayed_by: str
    """The run or person."""
    topic: str
    """Where the messages were written; empty if nothing was."""
    messages: int
    outcome: Outcome
    error: str = ""


def counts(client: "Client", selection: Selection, limit: int) -> list[ReasonCount]:
    """The most frequent reasons of a selection. Raises clickhouse_connect's errors."""
    parameters = {**selection.parameters(), "limit": limit}
    rows = _rows(client, "dead_letter_counts", parameters)
    return [ReasonCount(**row) for row in rows]


def letters(
    client: "Client", selection: Selection, limit: int, *, oldest_first: bool = False
) -> list[Letter]:
    """The newest or oldest letters of a selection. Raises clickhouse_connect's errors."""
    parameters = {**selection.parameters(), "limit": limit, "oldest_first": oldest_first}
    return [Letter(**row) for row in _rows(client, "dead_letters", parameters)]


def parts(client: "Client", ids: Sequence[str]) -> dict[str, list[Part]]:
    """The parts of each of the letters, in their order. Raises clickhouse_connect's errors."""
    by_letter: dict[str, list[Part]] = {letter_id: [] for letter_id in ids}
    for row in _rows(client, "dead_letter_parts", {"ids": list(ids)}):
        by_letter[row["letter_id"]].append(Part(**row))
    return by_letter


def replays(client: "Client", ids: Sequence[str]) -> list[Replay]:
    """Every attempt to replay the letters, oldest first. Raises clickhouse_connect's errors."""
    return [Replay(**row) for row in _rows(client, "dead_letter_replays", {"ids": list(ids)})]


def store_replays(client: "Client", attempts: Sequence[Replay]) -> None:
    """Store attempts; a repetition changes nothing. Raises clickhouse_connect's errors."""
    if attempts:
        names = [field.name for field in fields(Replay)]
        client.insert(REPLAYS_TABLE, [astuple(attempt) for attempt in attempts], column_names=names)


def _rows(client: "Client", query: str, parameters: dict[str, object]) -> list[dict[str, Any]]:
    result = client.query(
        load(query), parameters=parameters, tz_mode="aware", column_formats={"raw": "bytes"}
    )
    return list(result.named_results())
