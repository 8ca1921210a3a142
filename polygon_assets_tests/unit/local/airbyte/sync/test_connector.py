"""The connector's process: its output, its files, its end. A script replaces the connector."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from polygon_assets.local.airbyte.sync import connector
from polygon_assets.local.airbyte.sync.connector import Connector, ConnectorError, discover
from polygon_assets.local.airbyte.sync.job_log import JobLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[JobLog]:
    with JobLog(tmp_path / "log") as opened:
        yield opened


def replace_connector(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Run `script` instead of the connector; its arguments are the verb and the options."""
    monkeypatch.setattr(connector, "_COMMAND", (sys.executable, "-c", script))


def test_lines_that_are_no_messages_are_logged_and_input_files_are_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: JobLog
) -> None:
    replace_connector(
        monkeypatch,
        "import sys; print('warming up'); print('a warning', file=sys.stderr);"
        "print(open(sys.argv[3]).read())",
    )
    folder = tmp_path / "work"
    with Connector(
        "read", folder, log, config={"type": "LOG", "log": {"level": "INFO", "message": "read me"}}
    ) as running:
        [(message, size)] = running.messages()
        assert running.exit_code() == 0
        assert (folder / "config.json").stat().st_mode & 0o077 == 0
    assert message.log
    assert (message.log.message, size > 50) == ("read me", True)
    assert "warming up" in log.path.read_text()
    assert "a warning" in log.path.read_text()
    assert not folder.exists()


def test_a_record_that_cannot_be_parsed_raises_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: JobLog
) -> None:
    replace_connector(
        monkeypatch, """print('{"type": "RECORD", "record": {"stream": "tickers", "data": []}}')"""
    )
    with (
        Connector("read", tmp_path / "work", log) as running,
        pytest.raises(
            ConnectorError,
            match=r"no message of the Airbyte protocol: Expected `object`, got `array` - "
            r"at `\$\.record\.data`",
        ),
    ):
        list(running.messages())


def test_a_connector_that_ignores_sigterm_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: JobLog
) -> None:
    monkeypatch.setattr(connector, "_STOP_SECONDS", 0.2)
    replace_connector(
        monkeypatch,
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        'print(\'{"type": "LOG"}\'); time.sleep(60)',
    )
    with Connector("read", tmp_path / "work", log) as running:
        next(running.messages())
        running.stop()
        assert running.exit_code() == -signal.SIGKILL


def test_a_connector_that_ends_without_a_message_is_reported_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: JobLog
) -> None:
    replace_connector(monkeypatch, "raise SystemExit(3)")
    with pytest.raises(
        ConnectorError, match=r"ended with code 3 and offered no streams; see .*log"
    ):
        discover({}, {}, tmp_path / "work", log)
