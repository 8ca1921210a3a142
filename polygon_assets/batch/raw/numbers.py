"""Converts the vendor's values to stored values: an invalid number becomes null, never a guess.

Add a conversion of a daily record's value here; types of table columns belong to `column_types`.
The manifest has the same rules as Jinja expressions, and a test compares the two.
"""

import math
import re
from typing import Any

LARGEST = 1e300
"""Larger numbers count as infinite: a Jinja expression of the manifest cannot name infinity."""
DECIMAL = re.compile(r"[0-9]+([.][0-9]+)?")


def number(value: Any) -> float | None:
    """A finite JSON number; None for NaN, infinities, text, booleans and any other value."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        # Before isnan, which fails for a whole number that no float can hold.
        or abs(value) > LARGEST
        or math.isnan(value)
    ):
        return None
    return value


def integer(value: Any) -> int | None:
    """A whole JSON number, also if written with a fraction of zero; None for any other value."""
    finite = number(value)
    return None if finite is None or finite != int(finite) else int(finite)


def decimal_text(exact: Any, rounded: Any) -> str | None:
    """A volume as decimal digits: the vendor's decimal string `exact` if sent, else `rounded`.

    An `exact` that is no decimal number gives None: the rounded number would be a guess.
    """
    if exact is not None:
        return exact if isinstance(exact, str) and DECIMAL.fullmatch(exact) else None
    finite = number(rounded)
    if finite is None:
        return None
    if finite == int(finite):
        return str(int(finite))
    # The column stores six decimals and no exponent.
    return f"{finite:.6f}" if "e" in repr(finite) else repr(finite)
