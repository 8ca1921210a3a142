"""Converts the vendor's values to stored values: an invalid number becomes null, never a guess.

Add a conversion of a daily record's value here; types of table columns belong to `column_types`.
The manifest has the same rules as Jinja expressions, and a test compares the two.
"""

import re
from typing import Any

LARGEST = 1e300
"""Larger numbers count as infinite: a Jinja expression of the manifest cannot name infinity."""
LARGEST_INTEGER = 2**63 - 1
"""A load fails on larger whole numbers, see `column_types`."""
DECIMAL = re.compile(r"[0-9]+([.][0-9]+)?")


def number(value: Any) -> float | None:
    """A finite JSON number that is not negative, which no value of a bar is; else None."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        # False for NaN too.
        or not 0 <= value <= LARGEST
    ):
        return None
    return value


def price(value: Any) -> float | None:
    """A number above 0; None for any other value."""
    return number(value) or None


def integer(value: Any) -> int | None:
    """A whole JSON number, also if written with a fraction of zero; None for any other value."""
    finite = number(value)
    if finite is None or finite != int(finite) or finite > LARGEST_INTEGER:
        return None
    return int(finite)


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
