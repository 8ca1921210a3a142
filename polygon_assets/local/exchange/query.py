"""The conventions all list endpoints share: comparison filters, sorting, limits and cursors.

What is listed is the endpoints' business.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]

_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "": lambda value, bound: value == bound,
    ".gt": lambda value, bound: value > bound,
    ".gte": lambda value, bound: value >= bound,
    ".lt": lambda value, bound: value < bound,
    ".lte": lambda value, bound: value <= bound,
    ".any_of": lambda value, bound: value in bound.split(","),
}


class BadRequestError(Exception):
    """The query cannot be answered; the message goes to the client with status 400."""


@dataclass(frozen=True)
class Page:
    """Part of a list; `cursor` is empty on the last page."""

    records: list[Record]
    cursor: str


def matching(records: list[Record], query: dict[str, str], fields: tuple[str, ...]) -> list[Record]:
    """Records that satisfy every `field`, `field.gt`, `.gte`, `.lt`, `.lte` and `.any_of` in the query."""
    for name in fields:
        for suffix, holds in _COMPARISONS.items():
            if bound := query.get(name + suffix):
                records = [record for record in records if name in record and holds(str(record[name]), bound)]
    return records


def ordered(records: list[Record], field: str, order: str) -> list[Record]:
    """Sorted by one field, ties by ticker; records without it come first when ascending."""
    if order not in ("asc", "desc"):
        raise BadRequestError(f"'order' must be asc or desc, not '{order}'")
    return sorted(records, key=lambda record: (record.get(field, ""), record["ticker"]), reverse=order == "desc")


def limit_of(query: dict[str, str], default: int, maximum: int) -> int:
    """The page size asked for. Raises BadRequestError outside 1..maximum."""
    text = query.get("limit", str(default))
    if not text.isdigit() or not 1 <= int(text) <= maximum:
        raise BadRequestError(f"'limit' must be between 1 and {maximum}, not '{text}'")
    return int(text)


def opened(query: dict[str, str]) -> dict[str, str]:
    """The query a cursor stands for, or the query itself."""
    if "cursor" not in query:
        return query
    try:
        content = json.loads(base64.urlsafe_b64decode(query["cursor"]))
        return {str(name): str(value) for name, value in content.items()}
    except (ValueError, AttributeError) as error:
        raise BadRequestError("invalid cursor") from error


def page(records: list[Record], query: dict[str, str], limit: int, overlap: int = 0) -> Page:
    """The stretch of `records` at the query's offset; the next page begins with the last `overlap` records again."""
    offset = int(query.get("offset", "0"))
    end = offset + limit
    if end >= len(records):
        return Page(records[offset:], "")
    following = query | {"offset": str(end - min(overlap, limit - 1))}
    return Page(records[offset:end], base64.urlsafe_b64encode(json.dumps(following).encode()).decode())
