"""What a copy concludes from its client's statistics; processes/test_leadership has the rest."""

import json

import pytest
from confluent_kafka import KafkaError

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


@pytest.mark.parametrize(
    ("code", "heard", "after"),
    [
        pytest.param(KafkaError._TRANSPORT, 0.25, False, id="Kafka is back"),
        pytest.param(KafkaError._ALL_BROKERS_DOWN, 9.0, True, id="Kafka is still away"),
        pytest.param(KafkaError.GROUP_AUTHORIZATION_FAILED, 0.25, True, id="a right is missing"),
    ],
)
def test_a_problem_lasts_until_kafka_is_heard_unless_it_is_kafkas_answer(
    code: int, heard: float, after: bool
) -> None:
    leadership = Leadership(Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    leadership._on_error(KafkaError(code))
    assert leadership.problem
    leadership._on_statistics(statistics(heard))
    problem = leadership.problem  # closing reports what the client met meanwhile
    leadership._consumer.close()
    assert bool(problem) is after


@pytest.mark.parametrize("seconds", [3, 60], ids=["shortest", "longest"])
def test_each_allowed_session_is_one_that_the_client_accepts(seconds: float) -> None:
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1", leader_session_seconds=seconds)
    Leadership(settings)._consumer.close()
