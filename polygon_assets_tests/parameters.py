"""Parameters of a test whose cases take seconds each: few for `make test`, all for CI."""

from collections.abc import Iterable
from typing import Any

import pytest


def first_few(count: int, values: Iterable[Any]) -> list[Any]:
    """The values of one argument, of which those after the first `count` are `long`."""
    return [
        pytest.param(value, marks=[] if number < count else pytest.mark.long)
        for number, value in enumerate(values)
    ]
