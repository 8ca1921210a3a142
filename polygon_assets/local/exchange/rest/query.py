"""The conventions of all list endpoints: comparison filters, sorting, limits and cursors.

Add a convention here; the records of a list belong to its endpoint.
"""

import base64
import datetime as dt
import json
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from polygon_assets.errors import PolygonAssetsError

Record = dict[str, Any]

Value = str | float
_COMPARISONS: dict[str, Callable[[Value, Value], bool]] = {
    "": operator.eq,
    ".gt": operator.gt,
    ".gte": operator.ge,
    ".lt": operator.lt,
    ".lte": operator.le,
}
ANY_OF = ".any_of"
_OF_CURSORS = {"at", "offset"}
"""Parameters that only a cursor may contain."""
SUFFIXES = (*_COMPARISONS, ANY_OF)
MOST_DIGITS = 18


class BadRequestError(PolygonAssetsError):
    """The query cannot be answered; the message goes to the client with status 400."""


@dataclass(frozen=True)
class Page:
    """Part of a list; `cursor` is empty on the last page."""

    records: list[Record]
    cursor: str


def matching(records: list[Record], query: dict[str, str], fields: Iterable[str]) -> list[Record]:
    """Records that satisfy every `field`, `field.gt`, `.gte`, `.lt`, `.lte`, `.any_of` parameter.

    Numbers compare as numbers. Raises BadRequestError for text where the field has numbers.
    """
    for name in fields:
        for suffix in SUFFIXES:
            if text := query.get(name + suffix):
                records = [record for record in records if name in record]
                matches = _condition(
                    suffix,
                    [_read(name + suffix, part, records, name) for part in _parts(suffix, text)],
                )
                records = [record for record in records if matches(record[name])]
    return records


def _parts(suffix: str, text: str) -> list[str]:
    return text.split(",") if suffix == ANY_OF else [text]


def _condition(suffix: str, bounds: list[Value]) -> Callable[[Value], bool]:
    if suffix == ANY_OF:
        return lambda value: value in bounds
    return lambda value: _COMPARISONS[suffix](value, bounds[0])


def _read(parameter: str, text: str, records: list[Record], name: str) -> Value:
    """The parameter's value, in the type that the records have."""
    if not records or isinstance(records[0][name], str):
        return text
    try:
        return float(text)
    except ValueError:
        raise BadRequestError(f"'{parameter}' must be a number, not '{text}'") from None


def check_dates(query: dict[str, str], field: str) -> None:
    """Raise BadRequestError for a comparison with an invalid date, which would compare as text."""
    for suffix in SUFFIXES:
        for part in _parts(suffix, query.get(field + suffix, "")):
            try:
                if part:
                    dt.date.fromisoformat(part)
            except ValueError:
                raise BadRequestError(
                    f"'{field}{suffix}' must be a date (YYYY-MM-DD), not '{part}'"
                ) from None


def check_names(query: dict[str, str], known: Iterable[str]) -> None:
    """Raise BadRequestError for an unknown parameter: ignoring it would hide a client's mistake."""
    names = {"apiKey", *known}
    if unknown := sorted(query.keys() - names):
        raise BadRequestError(
            f"unknown parameter '{unknown[0]}'; known are {', '.join(sorted(names))}"
        )


def ranges(*fields: str) -> list[str]:
    """The names of parameters that compare these fields."""
    return [field + suffix for field in fields for suffix in SUFFIXES]


def flag_of(query: dict[str, str], name: str, *, default: bool) -> bool:
    """A true/false parameter. Raises BadRequestError for any other text."""
    return choice_of(query, name, ("true", "false") if default else ("false", "true")) == "true"


def choice_of(query: dict[str, str], name: str, choices: Sequence[str]) -> str:
    """One of the choices, the first by default. Raises BadRequestError with the choices."""
    text = query.get(name, choices[0]).lower()
    if text not in choices:
        raise BadRequestError(f"'{name}' must be {' or '.join(choices)}, not '{query[name]}'")
    return text


def ordered(records: list[Record], field: str, order: str) -> list[Record]:
    """Records sorted by a field, then ticker; records without the field come first (ascending)."""
    if order not in ("asc", "desc"):
        raise BadRequestError(f"'order' must be asc or desc, not '{order}'")
    return sorted(
        records,
        key=lambda record: (record.get(field, ""), record["ticker"]),
        reverse=order == "desc",
    )


def is_number(text: str) -> bool:
    """Whether the text is a whole number of a size that a client may mean."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def limit_of(query: dict[str, str], default: int, maximum: int) -> int:
    """The requested page size. Raises BadRequestError outside 1..maximum."""
    text = query.get("limit", str(default))
    if not is_number(text) or not 1 <= int(text) <= maximum:
        raise BadRequestError(f"'limit' must be between 1 and {maximum}, not '{text}'")
    return int(text)


def opened(query: dict[str, str]) -> dict[str, str]:
    """The query in a cursor, or the query itself.

    Raises BadRequestError for an invalid cursor, or one that other parameters contradict.
    """
    if "cursor" not in query:
        check_names(query, query.keys() - _OF_CURSORS)
        return query
    try:
        content = json.loads(base64.urlsafe_b64decode(query["cursor"]))
        original = {str(name): str(value) for name, value in content.items()}
    except (ValueError, AttributeError) as error:
        raise BadRequestError("invalid cursor") from error
    if changed := sorted(
        name for name in query.keys() - {"cursor"} if original.get(name) != query[name]
    ):
        raise BadRequestError(f"'{changed[0]}' cannot change between the pages of a list")
    return original


def page(records: list[Record], query: dict[str, str], limit: int, overlap: int = 0) -> Page:
    """The page at the query's offset; the next page repeats the last `overlap` records."""
    offset = int(query.get("offset", "0"))
    end = offset + limit
    if end >= len(records):
        return Page(records[offset:], "")
    following = query | {"offset": str(end - min(overlap, limit - 1))}
    return Page(
        records[offset:end], base64.urlsafe_b64encode(json.dumps(following).encode()).decode()
    )
