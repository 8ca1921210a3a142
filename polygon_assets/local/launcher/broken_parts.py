"""Finds parts of ClickHouse's tables that a full disk has broken, and says whether rows are lost.

While the disk is full, ClickHouse may finish a merge whose files are empty. It keeps the merged
parts for eight minutes, and reads them again when it starts and meets the broken part. So a start
in time loses nothing. Restarting the server belongs to `revival`.
"""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from polygon_assets.local.launcher.ports import HOST

ANSWER_SECONDS = 5.0
# Only of parts that are in use: a start that drops a broken part reports the same error.
_IN_USE = """
    SELECT p.table AS table, p.name AS part, p.rows AS rows
    FROM system.errors AS e, system.parts AS p
    WHERE e.name IN ('CORRUPTED_DATA', 'CANNOT_READ_ALL_DATA', 'CHECKSUM_DOESNT_MATCH')
        AND p.database = 'market' AND p.active AND position(e.last_error_message, p.path) > 0
    LIMIT 1
"""
# Parts from before the merge are those within its blocks: numbers of blocks are the table's, so
# other partitions have some of them.
_LOST = """
    SELECT d.table AS table, d.partition_id AS partition, d.name AS name
    FROM system.detached_parts AS d
    LEFT JOIN (SELECT * FROM system.parts WHERE active) AS p
        ON p.database = d.database AND p.table = d.table AND p.partition_id = d.partition_id
    WHERE d.database = 'market' AND d.reason = 'broken-on-start'
    GROUP BY table, partition, name
    HAVING countIf(
        p.min_block_number >= d.min_block_number AND p.max_block_number <= d.max_block_number
    ) = 0
"""
Login = Mapping[str, str]


def broken_part(port: int, login: Login) -> str:
    """Why ClickHouse must start again; empty if every part that was read is whole."""
    return "".join(
        f"has a broken part, {row['part']} of market.{row['table']}"
        for row in _ask(port, login, _IN_USE)
    )


def loss_warnings(port: int, login: Login) -> list[str]:
    """A sentence for each broken part in whose place no earlier part was found."""
    return [
        f"a broken part of market.{row['table']}, partition {row['partition']}, had rows that no "
        "other part has. Rebuild the day (polygon-assets rebuild) or fill it again, then: ALTER "
        f"TABLE market.{row['table']} DROP DETACHED PART '{row['name']}' SETTINGS "
        "allow_drop_detached = 1"
        for row in _ask(port, login, _LOST)
    ]


def _ask(port: int, login: Login, query: str) -> list[dict[str, Any]]:
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
    return [json.loads(line) for line in text.splitlines()] if answer.status == 200 else []
