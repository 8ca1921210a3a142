"""SIGTERM and SIGINT as an event: the signal may come at any moment."""

import subprocess
import sys
import textwrap

import pytest


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_while_the_main_thread_holds_the_events_lock_sets_it(name: str) -> None:
    """As in the middle of `wait`. With the fault, the process would never end."""
    code = f"""
        import signal
        from polygon_assets.stop_signals import stop_event
        stop = stop_event(print)
        with stop._cond:
            signal.raise_signal(signal.{name})
        assert stop.wait(10)
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == f"{name}\n"
