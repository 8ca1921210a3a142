"""What a multiple of the market's peak needs, and that the guide says the same."""

from pathlib import Path

import pytest

from polygon_assets.service_sizes import STREAM_SIZES
from scripts.scaling import EVENTS_PER_CORE, PEAK_RATE, capacity, needs, table

GUIDE = (Path(__file__).parents[2] / "docs" / "production.md").read_text()


def test_each_program_has_a_measured_rate() -> None:
    assert set(EVENTS_PER_CORE) == set(STREAM_SIZES)


@pytest.mark.parametrize("times", [1, 10, 100])
def test_the_copies_take_the_rate_and_one_less_would_not(times: int) -> None:
    rate = PEAK_RATE * times
    for program, copies in needs(rate).copies.items():
        assert (copies - 1) * capacity(program) < rate <= copies * capacity(program)
    assert needs(rate).partitions >= max(needs(rate).copies[name] for name in ("filter", "sink"))


def test_the_deployed_sizes_take_the_peak_with_one_copy_each() -> None:
    assert set(needs(PEAK_RATE).copies.values()) == {1}


def test_the_guide_has_these_figures() -> None:
    assert "\n".join(table()) in GUIDE


def test_the_guide_names_what_a_copy_takes() -> None:
    sentence = " ".join(GUIDE.split())
    for program in EVENTS_PER_CORE:
        assert f"{capacity(program):,.0f}" in sentence
