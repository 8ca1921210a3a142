"""Small parts of the Airbyte server: tokens, documents, durations, the messages of a sync."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from polygon_assets.local.airbyte.api.job_endpoints import iso_duration
from polygon_assets.local.airbyte.api.problems import Problem
from polygon_assets.local.airbyte.api.tokens import LIFETIME_SECONDS, Tokens
from polygon_assets.local.airbyte.sync.job_log import JobLog
from polygon_assets.local.airbyte.sync.messages import Sync
from polygon_assets.local.airbyte.sync.protocol import Message, Record, State, decoder
from polygon_assets.local.airbyte.workspace.documents import Documents
from polygon_assets.local.airbyte.workspace.objects import States, StreamStats


def test_a_token_is_valid_until_its_end_on_every_server_with_the_same_secret() -> None:
    token = Tokens("id", "secret").issue("id", "secret", now=1000.0)
    Tokens("id", "secret").check(f"Bearer {token}", now=999.0 + LIFETIME_SECONDS)
    for stale, secret in ((1000.0 + LIFETIME_SECONDS, "secret"), (1000.0, "other")):
        with pytest.raises(Problem, match="is invalid"):
            Tokens("id", secret).check(f"Bearer {token}", now=stale)


def test_documents_survive_a_restart_and_an_interrupted_write_is_ignored(
    tmp_path: Path,
) -> None:
    documents = Documents(tmp_path, States)
    documents.put("b", States(streams={}, created_at=1))
    documents.put("a", States(streams={"tickers": {"x": 1}}, created_at=2))
    documents.put("gone", States(streams={}, created_at=3))
    documents.delete("gone")
    (tmp_path / "a.partial").write_bytes(b'{"streams": {')
    again = Documents(tmp_path, States)
    assert [states.created_at for states in again.all()] == [1, 2]
    assert again.get("a") == States(streams={"tickers": {"x": 1}}, created_at=2)
    assert {
        file.stat().st_mode & 0o077 for file in tmp_path.iterdir() if file.suffix == ".json"
    } == {0}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "PT0S"), (61, "PT1M1S"), (29_172, "PT8H6M12S"), (7200, "PT2H")]
)
def test_durations_are_iso_8601(seconds: int, text: str) -> None:
    assert iso_duration(seconds) == text


class Counting:
    """A load that counts."""

    def __init__(self, name: str) -> None:
        self.stats = StreamStats(name=name)
        self.completed_at: float | None = None
        self.closed = False

    def add(self, record: Record, size: int) -> None:  # noqa: ARG002
        self.stats.records_emitted += 1

    def checkpoint(self, state: State) -> None:  # noqa: ARG002
        self.stats.states_emitted += 1

    def complete(self, at_ms: float) -> None:
        self.completed_at = at_ms

    def close(self) -> None:
        self.closed = True


def messages(*contents: object) -> Iterator[tuple[Message, int]]:
    """Messages and sizes, read like the connector's lines."""
    for content in contents:
        line = msgspec.json.encode(content)
        yield decoder.decode(line), len(line)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[JobLog]:
    with JobLog(tmp_path / "log") as opened:
        yield opened


def run(log: JobLog, received: Iterable[tuple[Message, int]]) -> tuple[Sync, Counting]:
    load = Counting("tickers")
    sync = Sync({"tickers": load}, log)
    sync.run(received)
    assert load.closed
    return sync, load


def status(word: str) -> object:
    described = {"stream_descriptor": {"name": "tickers"}, "status": word}
    return {
        "type": "TRACE",
        "trace": {"type": "STREAM_STATUS", "emitted_at": 5.0, "stream_status": described},
    }


RECORD = {
    "type": "RECORD",
    "record": {"stream": "tickers", "data": {"ticker": "A"}, "emitted_at": 1},
}
STATE = {
    "type": "STATE",
    "state": {
        "type": "STREAM",
        "stream": {"stream_descriptor": {"name": "tickers"}, "stream_state": {}},
        "sourceStats": {"recordCount": 1},
    },
}


def test_messages_reach_their_stream_and_others_are_ignored(log: JobLog) -> None:
    received = messages(
        status("STARTED"),
        RECORD,
        {"type": "CONTROL", "control": {}},
        RECORD,
        STATE,
        status("COMPLETE"),
    )
    sync, load = run(log, received)
    assert (load.stats.records_emitted, load.stats.states_emitted, load.completed_at) == (2, 1, 5.0)
    assert (sync.incomplete, sync.failures) == (set(), [])


def test_a_stream_without_a_complete_message_is_incomplete(log: JobLog) -> None:
    error = {
        "message": "the key is wrong",
        "internal_message": "HTTP 401",
        "failure_type": "config_error",
    }
    sync, load = run(
        log,
        messages(
            RECORD,
            {"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": 7.0, "error": error}},
            status("INCOMPLETE"),
        ),
    )
    assert (sync.incomplete, load.completed_at) == ({"tickers"}, None)
    [failure] = sync.failures
    assert (failure.message, failure.details, failure.kind, failure.origin) == (
        "the key is wrong",
        "HTTP 401",
        "config_error",
        "source",
    )
    assert "the key is wrong\nHTTP 401" in log.path.read_text()
