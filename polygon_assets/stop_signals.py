"""SIGTERM and SIGINT as an event, for every program that drains or closes before it ends.

Only the way from the signal to the event belongs here; what a stop does belongs to its program.
"""

import _thread
import signal
import threading
from collections.abc import Callable
from types import FrameType


def stop_event(note: Callable[[str], object] = lambda _name: None) -> threading.Event:
    """An event that either signal sets, after `note` was called with the signal's name.

    Call it in the main thread, which may also wait for the event. A handler runs in the middle of
    whatever that thread does, perhaps while it holds the event's lock or writes a log line: setting
    the event there could wait for ever. The handler therefore only calls `start_new_thread`, which
    takes no lock in Python; `Thread.start` would.
    """
    stop = threading.Event()

    def ask_to_stop(name: str) -> None:
        note(name)
        stop.set()

    def handle(number: int, _frame: FrameType | None) -> None:
        _thread.start_new_thread(ask_to_stop, (signal.Signals(number).name,))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop
