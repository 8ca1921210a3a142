"""Values of the vendor's daily records as they are stored: a number that is none becomes null, never text and never a guess.

The connector's manifest has the same rules as Jinja expressions, and a test holds the two together.
"""

import math
import re
from typing import Any

LARGEST = 1e300
"""Above it a number is as good as infinite; the manifest has no word for infinity."""
DECIMAL = re.compile(r"[0-9]+([.][0-9]+)?")


def number(value: Any) -> float | None:
    """A finite JSON number; None for NaN, infinities, text, booleans and everything else."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or math.isnan(value)
        or abs(value) > LARGEST
    ):
        return None
    return value


def integer(value: Any) -> int | None:
    """A whole JSON number, also one that is written with a fraction of zero."""
    found = number(value)
    return None if found is None or found != int(found) else int(found)


def decimal_text(exact: Any, rounded: Any) -> str | None:
    """A volume as decimal digits: `exact` (the vendor's decimal string) where it is sent, else the number written out.

    A string that is no decimal number is null: the rounded number beside it would be a guess.
    """
    if exact is not None:
        return exact if isinstance(exact, str) and DECIMAL.fullmatch(exact) else None
    found = number(rounded)
    if found is None:
        return None
    if found == int(found):
        return str(int(found))
    # The column holds six decimals, and no exponent.
    return f"{found:.6f}" if "e" in repr(found) else repr(found)
