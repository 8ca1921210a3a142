"""What a run reports: each fault with its time to recover."""

from polygon_assets_tests.chaos.report import Recovery, Round, recoveries


def test_each_fault_has_the_times_of_the_rounds_in_which_it_struck_something() -> None:
    rounds = [
        Round(["kill -9 sink", "SIGSTOP s3 for 3 s"], 6.0),
        Round(["SIGSTOP s3 for 14 s", "kill -9 sink was already down"], 4.0),
        Round(["clock set forward and back by 1.2 s"], 5.0),
        Round(["SIGSTOP s3 for 7 s", "one connection of s3 cut had no connection"], 100.0),
    ]
    assert recoveries(rounds) == [
        Recovery("SIGSTOP s3", 3, 6.0, 100.0),
        Recovery("kill -9 sink", 1, 6.0, 6.0),
        Recovery("clock set forward and back", 1, 5.0, 5.0),
    ]
