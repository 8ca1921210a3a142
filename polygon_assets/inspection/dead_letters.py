"""Dead letters as people read them: counted by reason, listed, and one with its bytes.

Add a column of their display here; the tables belong to `serving.dead_letters`, joining a letter's
parts to `dead_letters`.
"""

import base64
import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.serving.dead_letters import Letter, ReasonCount, Replay

SHOWN_REASON = 160
SHOWN_REASONS = 50
COUNT_COLUMNS = ("letters", "replayed", "newest (New York)", "program", "stage", "reason")
LETTER_COLUMNS = ("id", "refused (New York)", "program", "stage", "bytes", "replayed", "reason")


def count_cells(count: ReasonCount) -> tuple[str, ...]:
    """The cells of COUNT_COLUMNS."""
    return (
        f"{count.letters:,}",
        f"{count.replayed:,}",
        _new_york(count.newest),
        count.program,
        count.stage,
        one_line(count.kind),
    )


def letter_cells(letter: Letter) -> tuple[str, ...]:
    """The cells of LETTER_COLUMNS."""
    return (
        letter.letter_id,
        _new_york(letter.refused_at),
        letter.program,
        letter.stage,
        f"{letter.bytes:,}",
        _new_york(letter.replayed_at) if letter.replayed_at else "-",
        one_line(letter.reason),
    )


def facts(row: ReasonCount | Letter | Replay) -> dict[str, Any]:
    """A row as plain JSON values, times in UTC."""
    return {
        name: value.isoformat() if isinstance(value, dt.datetime) else value
        for name, value in asdict(row).items()
    }


def field_lines(letter: Letter) -> list[str]:
    """Each field of a letter on its line."""
    return [
        f"{name}: {'-' if value is None else printable(str(value))}"
        for name, value in facts(letter).items()
    ]


def replay_lines(replays: Sequence[Replay]) -> list[str]:
    """Each attempt to replay a letter on its line."""
    return [
        f"{replay.outcome} {_new_york(replay.replayed_at)} by {replay.replayed_by}: "
        f"{replay.messages:,} message(s)"
        + (f" to {replay.topic}" if replay.topic else "")
        + (f"; {printable(replay.error)}" if replay.error else "")
        for replay in replays
    ]


def as_text(raw: bytes) -> str:
    """The bytes as text; those that are not UTF-8 as `\\xNN`."""
    return printable(raw.decode(errors="backslashreplace"))


def printable(text: str) -> str:
    """The text with control characters escaped: refused bytes must not command a terminal."""
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def bytes_facts(raw: bytes) -> dict[str, str]:
    """The bytes for JSON: base64, and the text if they are UTF-8."""
    encoded = {"raw": base64.b64encode(raw).decode()}
    try:
        return encoded | {"text": raw.decode()}
    except UnicodeDecodeError:
        return encoded


def one_line(reason: str) -> str:
    """A reason that fits into a table's cell."""
    text = printable(" ".join(reason.split()))
    return text if len(text) <= SHOWN_REASON else f"{text[:SHOWN_REASON]}…"


def moment(text: str) -> dt.datetime:
    """An ISO 8601 day or time, New York's without a zone. Raises ValueError naming the form."""
    try:
        parsed = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no time such as 2026-11-20, 2026-11-20T09:30 or 2026-11-20T14:30Z"
        ) from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=NEW_YORK)


def _new_york(moment: dt.datetime) -> str:
    return f"{moment.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}"
