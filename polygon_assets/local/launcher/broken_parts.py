"""Finds parts of ClickHouse's tables that a full disk has broken, and says whether rows are lost.

While the disk is full, ClickHouse may finish a merge whose files are empty. It keeps the merged
parts for eight minutes, and reads them again when it starts and finds the new part broken. So a
start in time loses nothing. Restarting the server belongs to `revival`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from polygon_assets.local.launcher.ports import HOST

ANSWER_SECONDS = 5.0
# Only of parts that are in use: a start that drops a broken part reports the same error.
_ERRORS = """
    SELECT p.table AS table, p.name AS part
    FROM system.errors AS e, system.parts AS p
    WHERE e.name IN ('CORRUPTED_DATA', 'CANNOT_READ_ALL_DATA', 'CHECKSUM_DOESNT_MATCH')
        AND p.database = 'market' AND p.active AND position(e.last_error_message, p.path) > 0
    LIMIT 1
"""
_BROKEN = """
    SELECT table, partition_id, min_block_number AS first, max_block_number AS last
    FROM system.detached_parts WHERE database = 'market' AND reason = 'broken-on-start'
"""
_ACTIVE = """
    SELECT table, partition_id, min_block_number AS first, max_block_number AS last
    FROM system.parts WHERE database = 'market' AND active
"""
Part = Mapping[str, Any]


def found(port: int, login: Mapping[str, str]) -> str:
    """Why ClickHouse must start again; empty if every part that was read is whole."""
    return "".join(
        f"has a broken part, {row['part']} of market.{row['table']}"
        for row in _ask(port, login, _ERRORS)
    )


def lost(port: int, login: Mapping[str, str]) -> list[str]:
    """A sentence for each broken part whose rows no other part has."""
    active = _ask(port, login, _ACTIVE)
    return [
        f"rows of market.{part['table']} are lost with a broken part of partition "
        f"{part['partition_id']}: polygon-assets rebuild makes a day again from the archive"
        for part in _ask(port, login, _BROKEN)
        if not is_covered(part, active)
    ]


def is_covered(part: Part, active: Sequence[Part]) -> bool:
    """Whether other parts of the partition have every block of a part."""
    blocks = sorted(
        (int(other["first"]), int(other["last"]))
        for other in active
        if (other["table"], other["partition_id"]) == (part["table"], part["partition_id"])
    )
    needed = int(part["first"])
    for first, last in blocks:
        if first <= needed <= last:
            needed = last + 1
    return needed > int(part["last"])


def _ask(port: int, login: Mapping[str, str], query: str) -> list[dict[str, Any]]:
    """The rows of a query; none while the server does not answer, which others notice."""
    connection = HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", f"/?query={quote(f'{query} FORMAT JSONEachRow')}", headers=login)
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, HTTPException):
        return []
    finally:
        connection.close()
    return list(_rows(text)) if answer.status == 200 else []


def _rows(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        yield json.loads(line)
