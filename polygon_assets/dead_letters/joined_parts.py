"""The bytes of a letter that was kept in parts: all there, in order, and proved by their checksum.

Only the joining belongs here; what the bytes mean belongs to `publications`.
"""

import hashlib
from collections.abc import Collection, Sequence

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.serving.dead_letters import Part


class IncompleteLetterError(PolygonAssetsError):
    """A letter's bytes are not all there, or not the refused ones; the message says which."""


def joined(parts: Sequence[Part]) -> bytes:
    """The refused bytes. Raises IncompleteLetterError."""
    if not parts:
        raise IncompleteLetterError("no bytes are stored")
    ordered = sorted(parts, key=lambda part: part.part)
    number = first_missing({part.part for part in ordered}, ordered[-1].parts)
    if number is not None:
        raise IncompleteLetterError(
            f"part {number} of {ordered[-1].parts} is not stored ({len(ordered)} are); it may "
            "still be in polygon_dead_letters, which the sink loads"
        )
    raw = b"".join(part.raw for part in ordered)
    digest = hashlib.sha256(raw).hexdigest()
    if digest != ordered[-1].sha256:
        raise IncompleteLetterError(
            f"the stored bytes have the sha256 {digest}, the refused ones had {ordered[-1].sha256}"
        )
    return raw


def first_missing(numbers: Collection[int], parts: int) -> int | None:
    """The first part that is not there; `parts` is 0 for a letter that was never divided."""
    expected = range(1, parts + 1) if parts else range(1)
    return next((number for number in expected if number not in numbers), None)
