"""What a copy concludes from its client's statistics; processes/test_leadership has the rest."""

import json

import pytest

from polygon_assets.settings import Settings
from polygon_assets.streaming.leadership import Leadership


def statistics(*idle_seconds: float) -> str:
    """As librdkafka writes them: microseconds since each broker last sent something."""
    brokers = {
        str(number): {"rxidle": round(seconds * 1e6)} for number, seconds in enumerate(idle_seconds)
    }
    return json.dumps({"cgrp": {"join_state": "steady"}, "brokers": brokers})


@pytest.mark.parametrize(
    ("seen", "longest"),
    [
        ([], 0.0),
        ([statistics()], 0.0),
        ([statistics(-1e-6)], 0.0),
        ([statistics(7.5, 0.25)], 0.25),
        ([statistics(0.5), statistics(3.0, -1e-6), statistics(0.25)], 3.0),
    ],
    ids=["nothing yet", "no broker", "never connected", "one of two answers", "and it came back"],
)
def test_the_longest_silence_is_that_of_every_broker_and_is_asked_for_once(
    seen: list[str], longest: float
) -> None:
    leadership = Leadership(Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    for one in seen:
        leadership._on_statistics(one)
    leadership._consumer.close()
    assert leadership.longest_silence() == longest
    assert leadership.longest_silence() == 0.0
